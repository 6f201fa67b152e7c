import { createHash, createHmac } from 'node:crypto'
import { answer, answerJson, type FakeServer, startFakeServer } from './fake-server.ts'

/** A machine at AWS, whose metadata service returns the credentials of a role. */
export interface AwsMachine extends Pick<FakeServer, 'url' | 'requests' | 'count' | 'stop'> {
  /** What `gcloud iam workload-identity-pools create-cred-config --aws` writes. */
  readonly credentialSource: Readonly<Record<string, string>>
  /** Whether a subject token is a GetCallerIdentity request that this role signed. */
  hasSigned(subjectToken: string, target: string): boolean
}

const role = 'puller'
const keys = {
  AccessKeyId: 'ASIAEXAMPLE',
  SecretAccessKey: 'an+AWS/secret',
  Token: 'an-AWS-session-token',
}

/** `version`: 2 requires a session token, as IMDSv2 does. */
export async function startAwsMachine(version: 1 | 2): Promise<AwsMachine> {
  const session = 'an-IMDS-session-token'
  const server = await startFakeServer(({ method, path, headers }, response) => {
    if (method === 'PUT' && path === '/latest/api/token')
      return headers['x-aws-ec2-metadata-token-ttl-seconds'] === undefined
        ? answer(response, 400)
        : answer(response, 200, { 'content-type': 'text/plain' }, session)
    if (version === 2 && headers['x-aws-ec2-metadata-token'] !== session)
      return answer(response, 401, {}, 'Unauthorized')
    const credentials = '/latest/meta-data/iam/security-credentials'
    if (path === '/latest/meta-data/placement/availability-zone')
      return answer(response, 200, { 'content-type': 'text/plain' }, 'eu-west-1b')
    // Which of them do so is a matter of their age; all have the content behind the slash.
    if (path === credentials && version === 1)
      return answer(response, 301, { location: `${server.url}${credentials}/` })
    if (path === credentials || path === `${credentials}/`)
      return answer(response, 200, { 'content-type': 'text/plain' }, role)
    if (path === `${credentials}/${role}`)
      return answerJson(response, 200, { Code: 'Success', Type: 'AWS-HMAC', ...keys })
    answer(response, 404)
  })
  return {
    ...server,
    credentialSource: {
      environment_id: 'aws1',
      region_url: `${server.url}/latest/meta-data/placement/availability-zone`,
      url: `${server.url}/latest/meta-data/iam/security-credentials`,
      regional_cred_verification_url:
        'https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15',
      ...(version === 2 && { imdsv2_session_token_url: `${server.url}/latest/api/token` }),
    },
    hasSigned: (subjectToken, target) => {
      const { url, method, headers } = JSON.parse(decodeURIComponent(subjectToken)) as {
        url: string
        method: string
        headers: readonly { key: string; value: string }[]
      }
      const sent = new Map(headers.map(({ key, value }) => [key.toLowerCase(), value]))
      const asked = new URL(url)
      return (
        asked.hostname === 'sts.eu-west-1.amazonaws.com' &&
        asked.searchParams.get('Action') === 'GetCallerIdentity' &&
        sent.get('x-goog-cloud-target-resource') === target &&
        sent.get('x-amz-security-token') === keys.Token &&
        sent.get('authorization') === signatureOf({ method, asked, sent })
      )
    },
  }
}

/** AWS's signature, version 4, of a request without a body. */
function signatureOf({
  method,
  asked,
  sent,
}: {
  readonly method: string
  readonly asked: URL
  readonly sent: ReadonlyMap<string, string>
}): string {
  const names = /SignedHeaders=([^,]+)/.exec(sent.get('authorization') ?? '')?.[1]?.split(';') ?? []
  const date = sent.get('x-amz-date') ?? ''
  const scope = `${date.slice(0, 8)}/eu-west-1/sts/aws4_request`
  const canonical = [
    method,
    asked.pathname,
    asked.search.slice(1),
    ...names.map((name) => `${name}:${sent.get(name)}`),
    '',
    names.join(';'),
    sha256(''),
  ].join('\n')
  const toSign = ['AWS4-HMAC-SHA256', date, scope, sha256(canonical)].join('\n')
  const key = [...scope.split('/')].reduce<Buffer | string>(hmac, `AWS4${keys.SecretAccessKey}`)
  const signature = createHmac('sha256', key).update(toSign).digest('hex')
  return `AWS4-HMAC-SHA256 Credential=${keys.AccessKeyId}/${scope}, SignedHeaders=${names.join(';')}, Signature=${signature}`
}

function hmac(key: Buffer | string, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
