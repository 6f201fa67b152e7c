import { z } from 'zod'
import { file } from './texts.ts'
import { address } from './units.ts'

/** Other replicas of this registry. */
export const replicas = z.strictObject({
  listen: address()
    .prefault(':30028')
    .describe(
      'Address that the other replicas connect to, with plain HTTP: their requests are signed, not encrypted',
    ),
  address: z
    .union([z.ipv4(), z.ipv6()], { error: 'expected an IP address' })
    .describe('IP address of this replica, as the others see it, such as that of the pod'),
  addresses: z
    .array(address())
    .min(1)
    .describe(
      'host:port of the replicas; a name may have many addresses, such as that of a headless Service, and is looked up every 5s. This replica may be among them',
    ),
  secretFile: file.describe(
    'File with the secret that all replicas share, at least 16 characters; reloaded when it changes. Of several lines the first signs requests, and all are accepted',
  ),
})
