/**
 * `incomplete`: the file ends too early, so it may still be written. `changed`: it changed while it was
 * read. `missing`: it lacks a blob. `not-an-image`: it is an archive of something else.
 */
type ArchiveFault = 'incomplete' | 'invalid' | 'missing' | 'too-large' | 'not-an-image' | 'changed'

/** Why a file cannot be read as images. The message names what is wrong, not the file. */
export class ArchiveError extends Error {
  override readonly name = 'ArchiveError'
  readonly fault: ArchiveFault

  constructor(fault: ArchiveFault, message: string, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause })
    this.fault = fault
  }
}
