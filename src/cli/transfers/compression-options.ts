import { type Command, Option } from 'commander'
import type { LayerCompression } from '../../archive/archive.ts'
import { UsageError } from '../process/errors.ts'

export type CompressionFlags = {
  readonly compression: LayerCompression['kind']
  readonly compressionLevel?: string
}

const maxLevels = { gzip: 9, zstd: 19 } as const

/** `variable`: the name of the environment variable of an option. */
export function addCompressionOptions(
  command: Command,
  variable?: (option: 'COMPRESSION' | 'COMPRESSION_LEVEL') => string,
): Command {
  const withVariable = (option: Option, name: 'COMPRESSION' | 'COMPRESSION_LEVEL') =>
    variable === undefined ? option : option.env(variable(name))
  return command
    .addOption(
      withVariable(
        new Option(
          '--compression <kind>',
          'how layers that are not compressed are sent. All runtimes read gzip; docker reads zstd since 23.0, containerd since 1.5',
        )
          .choices(['gzip', 'zstd', 'none'])
          .default('gzip'),
        'COMPRESSION',
      ),
    )
    .addOption(
      withVariable(
        new Option(
          '--compression-level <number>',
          'gzip: 1 (fastest, default) to 9; zstd: 1 to 19 (default: 3)',
        ),
        'COMPRESSION_LEVEL',
      ),
    )
}

/** @throws UsageError */
export function compressionOf({
  compression: kind,
  compressionLevel,
}: CompressionFlags): LayerCompression {
  if (compressionLevel === undefined) return { kind }
  if (kind === 'none') throw new UsageError('--compression-level needs --compression gzip or zstd')
  const level = Number(compressionLevel)
  if (!Number.isInteger(level) || level < 1 || level > maxLevels[kind])
    throw new UsageError(
      `--compression-level: expected a number from 1 to ${maxLevels[kind]} for ${kind}`,
    )
  return { kind, level }
}
