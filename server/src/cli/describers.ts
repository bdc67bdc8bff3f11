/** What describes schemas that cannot describe themselves: a function of the user's own library. */
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import type { Topic } from '@tidemark/shared'
import type { Describe, Describers } from '../operate/schema.ts'

/** Where a vendor's schemas are described: a module beside the definitions, and a function of it. */
const homes: Readonly<
  Record<string, { readonly module: string; readonly name: string } | undefined>
> = {
  zod: { module: 'zod', name: 'toJSONSchema' },
  valibot: { module: '@valibot/to-json-schema', name: 'toJsonSchema' },
}

type Describer = (schema: unknown, options: object) => ReturnType<Describe>

/** Loads what topics' libraries are described by, as the file at `path` would import it, so that the versions fit. */
export const loadDescribersOf =
  (path: string) =>
  async (topics: readonly Topic[]): Promise<Describers> => {
    const vendors = new Set(topics.flatMap(({ schemas }) => Object.values(schemas)).map(vendorOf))
    const { resolve } = createRequire(path)
    const found: Record<string, Describe> = {}
    for (const vendor of vendors) {
      const home = homes[vendor]
      if (!home) continue
      try {
        const url = pathToFileURL(resolve(home.module)).href
        const module = (await import(url)) as Readonly<Record<string, Describer | undefined>>
        const describe = module[home.name]
        if (describe) {
          found[vendor] = (one) => describe(one, { io: 'input', target: 'draft-2020-12' })
        }
      } catch {
        // It is not installed: a schema that needs it says so, by name.
      }
    }
    return found
  }

const vendorOf = (one: unknown): string =>
  (one as { readonly '~standard': { readonly vendor: string } })['~standard'].vendor
