import { RegistryError } from '../oci/errors.ts'
import type { UploadRange } from '../registry/registry.ts'

/** distribution-spec has `N-M`; some clients send the form of RFC 9110, section 14.4, or docker's. */
const grammar = /^(?:bytes[ =])?(\d{1,15})-(\d{1,15})(?:\/(?:\d{1,15}|\*))?$/i

/**
 * Where a chunk belongs in the blob. `length`: bytes of the body, if the request announces it.
 * Undefined without the header.
 * @throws RegistryError BLOB_UPLOAD_INVALID, status 416, also when the range has another length than the
 * body.
 */
export function parseContentRange(
  header: string | undefined,
  length: number | undefined,
): UploadRange | undefined {
  if (header === undefined) return undefined
  const match = grammar.exec(header.trim())
  const [first, last] = [Number(match?.[1]), Number(match?.[2])]
  if (match === null || first > last)
    throw invalid('the header Content-Range must be <first>-<last>, the first and last byte')
  const size = last - first + 1
  if (length !== undefined && length !== size)
    throw invalid(`Content-Range has ${size} bytes, and the request body has ${length}`)
  return { first, size }
}

function invalid(problem: string): RegistryError {
  return new RegistryError('BLOB_UPLOAD_INVALID', {
    status: 416,
    message: `cannot append to the upload: ${problem}`,
  })
}
