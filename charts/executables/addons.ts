import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire as createRealRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { getAssetKeys, getRawAsset } from 'node:sea'

// Part of an executable: a native module can be loaded from a file only.

/**
 * A native module of this executable; undefined if it has none of this name.
 * @throws Error if no file for it can be written or loaded.
 */
export function loadAddon(name: string): unknown {
  const key = `${name}.node`
  if (!getAssetKeys().includes(key)) return undefined
  // Only this user can write into it, so that nobody can put another module there.
  const directory = mkdtempSync(join(tmpdir(), 'berth-'))
  const file = join(directory, key)
  const module = { exports: {} }
  try {
    writeFileSync(file, Buffer.from(getRawAsset(key)), { mode: 0o500 })
    process.dlopen(module, file)
    return module.exports
  } catch (cause) {
    throw new Error(
      `cannot load the native module ${name} from ${file}: set TMPDIR to a directory in which files can be written and run`,
      { cause },
    )
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

/** Instead of a native module that an executable lacks: says so when it is used. */
export function missingBcrypt(): unknown {
  const refuse = () => {
    throw new Error(
      `the executable for ${process.platform}-${process.arch} cannot compute or check hashes of passwords: use the npm package or the image`,
    )
  }
  // The version is what the package checks when it is loaded.
  return new Proxy({}, { get: (_, name) => (name === 'BCRYPT_API_VERSION' ? 2 : refuse) })
}

/** Instead of Node's: nothing is on the disk, and `embedded` has what sources load when they need it. */
export function requireEmbedded(
  embedded: Readonly<Record<string, () => unknown>>,
): typeof createRealRequire {
  return (from) => {
    const real = createRealRequire(from)
    return Object.assign((name: string) => embedded[name]?.() ?? real(name), real)
  }
}
