/** The demo's build, and every lane of tests: unit (Node), browser (real Chromium), e2e (the whole thing). */
import react from '@vitejs/plugin-react'
import { playwright } from '@vitest/browser-playwright'
import { defineConfig } from 'vitest/config'
import { findChromium } from './demo/e2e/chromium.ts'

const conditions = ['@tidemark/source']
const browser = { conditions: [...conditions, 'module', 'browser', 'development|production'] }
const node = { conditions: [...conditions, 'node', 'development|production'] }
const root = import.meta.dirname

// Only the tests need a browser, and finding one may mean unpacking it.
const { executablePath, args, env } = process.env['VITEST']
  ? await findChromium()
  : { executablePath: '', args: [], env: {} }

const inNode = { root, resolve: node, ssr: { resolve: node } }

export default defineConfig({
  root: 'demo',
  plugins: [react()],
  resolve: browser,
  build: { outDir: 'dist', emptyOutDir: true },
  test: {
    projects: [
      {
        ...inNode,
        test: {
          name: 'unit',
          environment: 'node',
          include: [
            '{shared,client,server,simulation,bench,tests,demo,examples}/**/*.test.{ts,tsx}',
          ],
          exclude: ['**/node_modules/**', '**/dist/**', '**/*.browser.test.ts'],
          testTimeout: 20_000,
        },
      },
      {
        root,
        resolve: browser,
        optimizeDeps: {
          include: [
            'dexie',
            'uuid',
            'zod',
            'react',
            'react-dom',
            'react-dom/client',
            'react-dom/server',
          ],
        },
        test: {
          name: 'browser',
          include: ['client/**/*.browser.test.ts'],
          testTimeout: 60_000,
          browser: {
            enabled: true,
            headless: true,
            screenshotFailures: false,
            provider: playwright({
              launchOptions: { executablePath, args: [...args], env: { ...env } },
            }),
            instances: [{ browser: 'chromium' }],
          },
        },
      },
      {
        ...inNode,
        test: {
          name: 'e2e',
          environment: 'node',
          include: ['{demo,examples}/**/*.e2e.ts'],
          exclude: ['**/node_modules/**', '**/dist/**'],
          fileParallelism: false,
          testTimeout: 180_000,
          hookTimeout: 180_000,
        },
      },
    ],
  },
})
