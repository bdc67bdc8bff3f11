/** Serves and builds the examples. An app of one framework needs the one plugin, and the proxy. */
import { join } from 'node:path'
import { svelte } from '@sveltejs/vite-plugin-svelte'
import react from '@vitejs/plugin-react'
import vue from '@vitejs/plugin-vue'
import { defaultClientConditions, defineConfig } from 'vite'

const pages = ['index.html', 'react/index.html', 'vue/index.html', 'svelte/index.html']

export default defineConfig({
  root: import.meta.dirname,
  plugins: [react(), vue(), svelte({ configFile: false })],
  // Inside this repository Tidemark is compiled with the app.
  resolve: { conditions: ['@tidemark/source', ...defaultClientConditions] },
  server: { port: 5173, proxy: { '/sync': { target: 'ws://localhost:3000', ws: true } } },
  build: { rollupOptions: { input: pages.map((page) => join(import.meta.dirname, page)) } },
})
