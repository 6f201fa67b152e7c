import { readRegularFile } from '../../input/input.ts'
import { CredentialError } from '../credential-error.ts'
import { parseJson } from '../parse-json.ts'
import { accountIn, type External, type Format, type SubjectTokenSource } from './configuration.ts'
import { type Environment, runExecutable } from './executable.ts'
import type { Transport } from './transport.ts'

export type SubjectTokenOptions = {
  readonly configuration: External
  /** Given with the request: stands for whatever the configuration names. */
  readonly workloadToken?: string | undefined
  readonly executables: Environment | undefined
  readonly transport: Transport
  /** In milliseconds. */
  readonly deadline: number
}

/**
 * The token that says who we are where we run, from the file, URL or program that the configuration
 * names, without the white space around it, which Google would take for a part of it. Undefined
 * where the library makes it: a signed request to AWS, a chain of certificates.
 */
export function readSubjectToken({
  configuration,
  workloadToken,
  executables,
  transport,
  deadline,
}: SubjectTokenOptions): (() => Promise<string>) | undefined {
  const { credential_source: source, audience, subject_token_type: type } = configuration
  if (workloadToken !== undefined) return async () => workloadToken.trim()
  if (source === undefined)
    throw new CredentialError('the credential configuration names no credential_source', {
      advice: 'write it anew with gcloud iam workload-identity-pools create-cred-config',
    })
  switch (source.kind) {
    case 'file':
      return () => fromFile(source, audience)
    case 'url':
      return () => fromUrl(source, transport)
    case 'executable': {
      const { command, timeout_millis, output_file } = source
      const account = accountIn(configuration.service_account_impersonation_url)
      return () =>
        runExecutable({
          command,
          timeout: Math.min(timeout_millis ?? deadline, deadline),
          outputFile: output_file,
          environment: executables,
          variables: {
            GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE: audience,
            GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE: type,
            GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE: '0',
            ...(account && { GOOGLE_EXTERNAL_ACCOUNT_IMPERSONATED_EMAIL: account }),
          },
        })
    }
    default:
      return undefined
  }
}

/** Where a subject token comes from, and what people call that. */
export type Origin = {
  readonly kind: SubjectTokenSource['kind'] | 'kubelet' | 'none'
  readonly name: string
}

export function originOf(source: SubjectTokenSource | undefined): Origin {
  if (source === undefined) return { kind: 'none', name: 'nowhere' }
  return { kind: source.kind, name: nameOf(source) }
}

function nameOf(source: SubjectTokenSource): string {
  switch (source.kind) {
    case 'file':
      return source.file
    case 'url':
      return source.url.replace(/[?#].*/, '')
    case 'executable':
      return source.command.split(' ')[0] ?? ''
    case 'aws':
      return "AWS's credentials of this machine"
    case 'certificate':
      return 'a client certificate'
  }
}

type FileSource = Extract<SubjectTokenSource, { kind: 'file' }>
type UrlSource = Extract<SubjectTokenSource, { kind: 'url' }>

async function fromFile({ file, format }: FileSource, audience: string): Promise<string> {
  const text = await readRegularFile(file).catch((cause: unknown) => {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unreadable'
    throw new CredentialError(`the subject token in ${file} cannot be read: ${code}`, {
      advice: adviceOn(code, file, audience),
      cause,
    })
  })
  return tokenIn(text, format, file)
}

function adviceOn(code: string, file: string, audience: string): string {
  if (code === 'EACCES')
    return `let the user that Berth runs as read it: set the pod's securityContext.fsGroup`
  return `mount a projected volume with a serviceAccountToken of audience https:${audience} there, so that its path is ${file}`
}

async function fromUrl({ url, headers, format }: UrlSource, transport: Transport): Promise<string> {
  const { data } = await transport.request<unknown>({ url, headers, responseType: 'text' })
  return tokenIn(String(data), format, url.replace(/[?#].*/, ''))
}

function tokenIn(text: string, format: Format | undefined, where: string): string {
  const token = format?.type === 'json' ? fieldIn(text, format.subject_token_field_name) : text
  if (typeof token === 'string' && token.trim() !== '') return token.trim()
  const what = format?.type === 'json' ? `no ${format.subject_token_field_name}` : 'no token'
  throw new CredentialError(`${where} has ${what} in it`, {
    advice: 'look at credential_source in the credential configuration, and at what writes there',
  })
}

function fieldIn(text: string, field: string): unknown {
  const content = parseJson(text)
  return typeof content === 'object' && content !== null ? Reflect.get(content, field) : undefined
}
