/** The demo's build, and every lane of tests: unit (Node), browser (real Chromium), e2e (the whole thing). */
import react from '@vitejs/plugin-react'
import { defineConfig } from 'vitest/config'

const conditions = ['@tidemark/source']
const resolve = { conditions: [...conditions, 'module', 'browser', 'development|production'] }
const node = { resolve: { conditions: [...conditions, 'node', 'development|production'] } }

export default defineConfig({
  root: 'demo',
  plugins: [react()],
  resolve,
  build: { outDir: 'dist', emptyOutDir: true },
  test: {
    projects: [
      {
        root: import.meta.dirname,
        ...node,
        ssr: { resolve: node.resolve },
        test: {
          name: 'unit',
          environment: 'node',
          include: ['{shared,client,server,simulation,bench}/**/*.test.ts', 'tests/**/*.test.ts'],
          exclude: ['**/node_modules/**', '**/*.browser.test.ts', '**/dist/**'],
          testTimeout: 20_000,
        },
      },
    ],
  },
})
