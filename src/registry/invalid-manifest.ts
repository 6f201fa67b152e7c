import { isRegistryError, RegistryError } from '../oci/errors.ts'

/** An invalid manifest is the client's error in a push (400), and the upstream's in a pull (502). */
export async function asUpstreamError<Result>(
  origin: string,
  parsing: Promise<Result>,
): Promise<Result> {
  try {
    return await parsing
  } catch (error) {
    if (!isRegistryError(error, 'MANIFEST_INVALID')) throw error
    throw new RegistryError('MANIFEST_INVALID', {
      message: `${origin} sent an invalid manifest: ${error.message}`,
      status: 502,
      cause: error,
    })
  }
}
