import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

const root = new URL('../../', import.meta.url).pathname

/** The licences of all bundled packages, each under the package's name and version. */
export async function licensesOf(inputs: readonly string[]): Promise<string> {
  const directories = new Set(inputs.flatMap((input) => packageOf(input) ?? []))
  const texts = [...directories].sort().map(async (directory) => {
    const path = join(root, directory)
    const { name, version, license } = JSON.parse(
      await readFile(join(path, 'package.json'), 'utf8'),
    )
    const files = (await readdir(path)).filter((file) => /^(licen[cs]e|notice|copying)/i.test(file))
    const contents = files.sort().map((file) => readFile(join(path, file), 'utf8'))
    return [`${name} ${version}: ${license}`, ...(await Promise.all(contents))].join('\n\n')
  })
  return (await Promise.all(texts)).join(`\n\n${'-'.repeat(80)}\n\n`)
}

/** `node_modules/@scope/name` of a bundled file; the innermost one. */
function packageOf(input: string): string | undefined {
  return /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0]
}
