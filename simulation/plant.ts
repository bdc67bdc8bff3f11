/**
 * Plants a bug in production code as it is loaded: a few characters of one source file are replaced in
 * memory. Production code knows nothing of it, and a plant that no longer fits says so.
 */
import { registerHooks } from 'node:module'
import { bugs } from './bugs.ts'

/**
 * Makes every module that is loaded from now on have this bug. The answer tells which files of it have not been
 * loaded yet: once everything is, there must be none.
 */
export function plant(name: string): () => readonly string[] {
  const bug = bugs.find((each) => each.name === name)
  if (!bug) throw new Error(`There is no bug called ${name}.`)
  const left = new Set(bug.edits.map(({ file }) => file))
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context)
      const edits = bug.edits.filter(({ file }) => url.endsWith(`/${file}`))
      if (edits.length === 0) return loaded
      for (const { file } of edits) left.delete(file)
      const source = edits.reduce(
        (text, { find, replace }) => replaceOnce(text, find, replace, url),
        String(loaded.source),
      )
      return { ...loaded, source }
    },
  })
  return () => [...left]
}

/** The text with its one `find` replaced. Throws where there is none, or more than one. */
export function replaceOnce(text: string, find: string, replace: string, where: string): string {
  const parts = text.split(find)
  if (parts.length === 2) return parts.join(replace)
  throw new Error(`The plant does not fit ${where}: ${parts.length - 1} places have "${find}".`)
}
