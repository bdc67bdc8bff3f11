/**
 * Imports the events file as it is now. Node keeps every module that it has imported, so each load gives the
 * file and what it imports of the app's own files other addresses, and remembers what it read: a file has
 * changed where its text is another than the one that was loaded.
 */
import { readFileSync } from 'node:fs'
import { registerHooks, type ResolveFnOutput } from 'node:module'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { assert, TidemarkError } from '@tidemark/shared'

/** Imports a file and its imports, as often as is asked for. */
export interface Loader {
  /** What the module exports now. Throws `EVENTS_INVALID` where it cannot be imported. */
  load(): Promise<Readonly<Record<string, unknown>>>
  /** The text that each file of the last load had, and of those that the loads before it had. Absent: it was not there. */
  readonly texts: ReadonlyMap<string, string | undefined>
  /** Leaves Node's imports alone again. */
  close(): void
}

/** By this a load's modules are told from those of another. */
const loadParam = 'tidemark-load'

let loads = 0

/** Builds a loader of a file, by its absolute path. It hears of every import of this process until it is closed. */
export function createLoader(file: string): Loader {
  assert(typeof registerHooks === 'function', 'tidemark dev runs in Node 22.18 or newer')
  const texts = new Map<string, string | undefined>()
  const hooks = registerHooks({
    resolve(specifier, context, nextResolve) {
      const load = loadOf(context.parentURL)
      if (load === undefined) return nextResolve(specifier, context)
      // A topic must be made of the same code as the gateway that serves it, wherever npx has put that.
      if (specifier === '@tidemark/shared') {
        return nextResolve(specifier, { ...context, parentURL: import.meta.url })
      }
      try {
        return refreshed(specifier, nextResolve(specifier, context), load)
      } catch (error) {
        const missing = missingFile(specifier, context.parentURL)
        if (missing !== undefined) texts.set(missing, undefined)
        throw error
      }
    },
    load(url, context, nextLoad) {
      if (loadOf(url) === undefined) return nextLoad(url, context)
      const path = fileURLToPath(url)
      texts.set(path, undefined)
      const loaded = nextLoad(url, context)
      texts.set(path, loaded.source ? toText(loaded.source) : readText(path))
      return loaded
    },
  })
  return {
    texts,
    async load() {
      loads += 1
      // It stays so where there is no such file.
      texts.set(file, undefined)
      try {
        const url = `${pathToFileURL(file).href}?${loadParam}=${loads}`
        return (await import(url)) as Readonly<Record<string, unknown>>
      } catch (cause) {
        throw new TidemarkError(
          'EVENTS_INVALID',
          { file, reason: sayImport(cause, file) },
          { cause },
        )
      }
    },
    close: () => hooks.deregister(),
  }
}

/** The text of a file, or nothing where there is none. */
export function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

const loadOf = (url: string | undefined): string | undefined =>
  url?.startsWith('file:') ? (new URL(url).searchParams.get(loadParam) ?? undefined) : undefined

/** The app's own files are new with each load; packages are not. */
function refreshed(specifier: string, found: ResolveFnOutput, load: string): ResolveFnOutput {
  const { url } = found
  const isOwn = url.startsWith('file:') && !url.includes('/node_modules/')
  if (!isOwn || specifier.startsWith('@tidemark/')) return found
  const fresh = new URL(url)
  fresh.searchParams.set(loadParam, load)
  return { ...found, url: fresh.href }
}

function missingFile(specifier: string, parent: string | undefined): string | undefined {
  if (!specifier.startsWith('.') || parent === undefined) return undefined
  return fileURLToPath(new URL(specifier, parent))
}

const toText = (source: string | ArrayBuffer | NodeJS.TypedArray): string =>
  typeof source === 'string' ? source : new TextDecoder('utf-8', { ignoreBOM: true }).decode(source)

/** Why an import failed, with the place in the file where Node says it: at the head of a syntax error's stack. */
function sayImport(cause: unknown, file: string): string {
  if (!(cause instanceof Error)) return String(cause)
  if (readText(file) === undefined) return 'there is no such file'
  const [head = ''] = (cause.stack ?? '').split('\n')
  const message = withoutLoad(cause.message)
  const place = /^(?:file:\/\/)?(\S+?)(?:\?\S*?)?:(\d+)$/.exec(withoutLoad(head))
  if (!place) return message
  const [, path = '', line] = place
  return `${message} (${path}:${line})`
}

const withoutLoad = (text: string): string =>
  text.replaceAll(new RegExp(`\\?${loadParam}=\\d+`, 'g'), '')
