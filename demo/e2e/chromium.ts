/**
 * Finds a Chromium for the tests: the one you name, the one you have, or else the one that an npm
 * package brings, so that the tests run on a machine with nothing but Node.
 */
import { existsSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'

/** A browser to start: where it is, with which flags, in which environment. */
export interface Chromium {
  readonly executablePath: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
}

/** Our own flags: no sandbox because containers run as root, and nothing that talks to the network. */
const args = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
] as const

const commands = ['google-chrome', 'google-chrome-stable', 'chromium', 'chromium-browser']
const places = [
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
  'C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe',
  'C:\\Program Files (x86)\\Google\\Chrome\\Application\\chrome.exe',
]

/** The Chromium to test with: `CHROMIUM_PATH`, an installed one, else the one from npm. */
export async function findChromium(): Promise<Chromium> {
  const executablePath =
    process.env['CHROMIUM_PATH'] || findInstalled() || (await unpackChromium(unpackedTo))
  return { executablePath, args, env: environment() }
}

function findInstalled(): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(delimiter)
  const onPath = commands.flatMap((command) => folders.map((folder) => join(folder, command)))
  return [...onPath, ...places].find((path) => existsSync(path))
}

const unpackedTo = join(import.meta.dirname, '../../.cache/chromium')

/**
 * Unpacks the Chromium of `@sparticuz/chromium` into `folder`, once. The package unpacks to the
 * system's temporary folder and takes a half-unpacked one for whole, so it gets a folder of ours and a
 * mark at the end.
 */
export async function unpackChromium(folder: string): Promise<string> {
  if (process.platform !== 'linux') {
    throw new Error('No Chrome or Chromium was found. Install one, or set CHROMIUM_PATH.')
  }
  const mark = join(folder, 'fonts.conf')
  if (!existsSync(mark)) await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
  const before = process.env['TMPDIR']
  process.env['TMPDIR'] = folder
  // With this the package also brings the libraries (nss and others) that a bare machine lacks.
  process.env['AWS_LAMBDA_JS_RUNTIME'] = 'nodejs22.x'
  try {
    const { default: packed } = await import('@sparticuz/chromium')
    const path = await packed.executablePath()
    await writeFile(mark, fontsOf(folder))
    // Its own list of fonts names folders that are not here, and without any font a list box ends it.
    process.env['FONTCONFIG_FILE'] = mark
    return path
  } finally {
    if (before === undefined) delete process.env['TMPDIR']
    else process.env['TMPDIR'] = before
  }
}

const fontsOf = (folder: string): string => `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>${join(folder, 'fonts')}</dir>
  <dir>/usr/share/fonts</dir>
  <cachedir>${join(folder, 'fonts-cache')}</cachedir>
</fontconfig>
`

const environment = (): Record<string, string> =>
  Object.fromEntries(
    Object.entries(process.env).filter((pair): pair is [string, string] => pair[1] !== undefined),
  )
