import { z } from 'zod'

const name = /^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$/
export const prefix = z.string().refine((text) => text === '' || name.test(text), {
  message:
    'expected whole segments of a repository name, such as docker.io or team/images, or an empty text',
})
/** The danger: a glob with a leading `!` matches nearly every name. */
export const globs = z.array(
  z
    .string()
    .min(1)
    .refine((glob) => !glob.startsWith('!'), {
      message:
        'a glob must not begin with "!", which would match everything else; list exclusions under "except", without the "!"',
    }),
)
export const file = z.string().min(1)

/** `advice`: where credentials go instead. */
export function httpUrl(example: string, advice: string) {
  return z.url({ protocol: /^https?$/, error: `expected a URL such as ${example}` }).refine(
    (text) => {
      const url = URL.parse(text)
      return url === null || [url.username, url.password, url.search, url.hash].join('') === ''
    },
    { message: `expected no user, query or fragment; ${advice}` },
  )
}
