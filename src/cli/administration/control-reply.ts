import { z } from 'zod'

/** A line that the running registry sends to a command, in the formats that the command can print. */
export const controlReply = z.strictObject({
  text: z.string(),
  data: z.unknown(),
  /** The text says why the command failed. */
  failed: z.boolean().optional(),
})

export type ControlReply = z.output<typeof controlReply>

/** `at`: milliseconds since the epoch. */
export function formatTime(at: number): string {
  return new Date(at).toISOString()
}
