/** Milliseconds since the epoch as JSON has them. */
export function timeOf<Time extends number | undefined>(
  milliseconds: Time,
): Time extends number ? string : string | undefined
export function timeOf(milliseconds: number | undefined): string | undefined {
  return milliseconds === undefined ? undefined : new Date(milliseconds).toISOString()
}
