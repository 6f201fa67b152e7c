import { z } from 'zod'
import { file, globs } from './texts.ts'

const serviceAccountUsers = 'system:serviceaccount:'
const serviceAccountGroups = 'system:serviceaccounts'

/** The danger: a rule that never applies, because a star does not match a colon. */
const user = z
  .string()
  .min(1)
  .refine(
    (glob) =>
      !glob.startsWith(serviceAccountUsers) || /^system:serviceaccount:[^:]+:[^:]+$/.test(glob),
    {
      message:
        'expected system:serviceaccount:NAMESPACE:NAME; each of the two may be or contain a star, which does not match a colon',
    },
  )

const group = z.string().refine((glob) => /^system:serviceaccounts(:[^:]+)?$/.test(glob), {
  message: `expected ${serviceAccountGroups}, or ${serviceAccountGroups}:NAMESPACE, in which a star does not match a colon: there are no other groups`,
})

const accessRule = z
  .strictObject({
    users: z
      .array(user)
      .prefault([])
      .describe(
        'Globs of user names, where a star does not match a colon: * is every user of auth.htpasswd or, without users, every client; system:serviceaccount:NAMESPACE:NAME is a service account',
      ),
    groups: z
      .array(group)
      .prefault([])
      .describe(
        'Globs of groups: system:serviceaccounts:NAMESPACE are the service accounts of a namespace, system:serviceaccounts all of the cluster',
      ),
    repositories: globs.min(1).describe('Globs of repository names, including the prefix'),
    except: globs
      .prefault([])
      .describe(
        'Globs of repository names that the rule excludes although repositories matches them',
      ),
    actions: z
      .array(z.enum(['pull', 'push', 'delete']))
      .min(1)
      .describe('Actions that the rule allows: pull, push, delete'),
  })
  .refine(({ users, groups }) => users.length + groups.length > 0, {
    message: 'expected users or groups',
  })

/** The danger: the API server's own audience is in the token of every pod, for every program that gets it. */
const audience = z
  .string()
  .min(1)
  .refine((text) => !/^(https:\/\/)?kubernetes\.default(\.svc|$)/.test(text), {
    message:
      "this is the API server's own audience, which the tokens of all pods have: choose another, such as berth",
  })

const serviceAccounts = z
  .strictObject({
    audiences: z
      .array(audience)
      .min(1)
      .describe(
        'Audiences of which a token must have one, such as berth: the tokens that pods have for the API server are not valid here',
      ),
    method: z
      .enum(['keys', 'published-keys', 'token-review'])
      .prefault('keys')
      .describe(
        "How tokens are verified: keys (by the public keys of the API server of Berth's cluster), published-keys (by those that the issuer publishes at its URL, also outside the cluster), token-review (by a request to the API server for each token every two minutes, which also rejects tokens of deleted pods and service accounts)",
      ),
    issuer: z
      .string()
      .min(1)
      .optional()
      .describe(
        'Issuer of the tokens; required for published-keys (default: the one that the API server names)',
      ),
  })
  .superRefine(({ method, issuer, audiences }, context) => {
    const problem = (path: string, message: string) =>
      context.addIssue({ code: 'custom', path: [path], message })
    if (method === 'token-review' && issuer !== undefined)
      problem('issuer', 'has no effect with method: token-review, where the API server decides')
    if (method === 'published-keys' && !isIssuerUrl(issuer))
      problem('issuer', 'expected the URL of the issuer, with https, for method: published-keys')
    if (issuer !== undefined && audiences.includes(issuer))
      problem('audiences', "must not contain the issuer, which is the API server's own audience")
  })

export const auth = z
  .strictObject({
    htpasswd: file
      .optional()
      .describe(
        'htpasswd file with bcrypt hashes; Berth reloads it when it changes. Without it no user has a password',
      ),
    serviceAccounts: serviceAccounts.optional(),
    anonymous: z
      .enum(['none', 'pull', 'rules'])
      .prefault('none')
      .describe(
        'Access for anonymous users: pull, from the upstreams and hosted prefixes that set anonymous: pull; or rules, which needs auth.htpasswd and auth.serviceAccounts to be unset: everyone who can connect may do what the access rules for * allow, pushes included',
      ),
    access: z
      .array(accessRule)
      .prefault([])
      .describe(
        'Access rules; without rules, every user of auth.htpasswd may pull everything. Pushing and deleting always need a rule, and service accounts need one for everything',
      ),
  })
  .prefault({})

/** Keys by plain HTTP could be replaced on the way; on this machine there is no way. */
function isIssuerUrl(issuer: string | undefined): boolean {
  const url = URL.parse(issuer ?? '')
  if (url === null || url.search !== '' || url.hash !== '' || url.username !== '') return false
  return url.protocol === 'https:' || (url.protocol === 'http:' && url.hostname === '127.0.0.1')
}
