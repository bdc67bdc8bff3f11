/**
 * Compiles the three published packages, in the order in which they build on each other: JavaScript and
 * declarations beside it, without the tests and what only they need. The demo is built by Vite, see demo/start.ts.
 */
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'

const root = import.meta.dirname
const packages = ['shared', 'client', 'server'] as const

/** The one tsconfig.json, narrowed to a package. What it imports of ours is taken as it will be published. */
const narrowed = (name: string) => ({
  extends: '../tsconfig.json',
  compilerOptions: {
    noEmit: false,
    customConditions: [],
    rootDir: `../${name}/src`,
    outDir: `../${name}/dist`,
    declaration: true,
    rewriteRelativeImportExtensions: true,
  },
  include: [`../${name}/src`],
  exclude: ['*.test.ts', '*.test.tsx', '*.contract.ts', 'testing/*'].map(
    (own) => `../${name}/src/**/${own}`,
  ),
})

/** What `bin` names has to be executable, and tsc does not see to that. */
function markExecutables(name: string): void {
  const { bin = {} } = JSON.parse(readFileSync(join(root, name, 'package.json'), 'utf8')) as {
    bin?: Record<string, string>
  }
  for (const path of Object.values(bin)) chmodSync(join(root, name, path), 0o755)
}

mkdirSync(join(root, '.cache'), { recursive: true })
for (const name of packages) {
  const config = join(root, '.cache', `tsconfig.${name}.json`)
  writeFileSync(config, JSON.stringify(narrowed(name), null, 2))
  rmSync(join(root, name, 'dist'), { recursive: true, force: true })
  execFileSync(join(root, 'node_modules/.bin/tsc'), ['-p', config], { stdio: 'inherit' })
  markExecutables(name)
  if (!existsSync(join(root, name, 'LICENSE')))
    copyFileSync(join(root, 'LICENSE'), join(root, name, 'LICENSE'))
}
