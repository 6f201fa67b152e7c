import { Command, Option } from 'commander'
import { stringify } from 'yaml'
import { checkUser, readPassword } from './secret-input.ts'

export function pullSecretCommand(): Command {
  return new Command('pull-secret')
    .description('Print the imagePullSecret with which pods pull from Berth')
    .argument('<user>', 'a user of the htpasswd file')
    .option('--server <host:port>', 'Berth as image references name it', 'localhost:30026')
    .option('--name <name>', "the secret's name", 'berth-pull')
    .option('-n, --namespace <namespace>', 'where pods will use it')
    .addOption(
      new Option('-o, --output <format>', 'a manifest, or the config.json that is in it')
        .choices(['yaml', 'docker-config'])
        .default('yaml'),
    )
    .addHelpText('after', examples)
    .action(async (user: string, { server, name, namespace, output }: Options) => {
      checkUser(user)
      const password = await readPassword(`Password of ${user}`)
      const auth = Buffer.from(`${user}:${password}`).toString('base64')
      const config = JSON.stringify({ auths: { [server]: { auth } } })
      process.stdout.write(
        output === 'docker-config' ? `${config}\n` : manifest({ name, namespace, config }),
      )
      process.stderr.write(advice({ user, server, name, namespace }))
    })
}

type Options = {
  readonly server: string
  readonly name: string
  readonly namespace?: string
  readonly output: string
}

/** No way that has the password in an argument: everybody on the machine can read those. */
function advice({
  user,
  server,
  name,
  namespace,
}: {
  user: string
  server: string
  name: string
  namespace: string | undefined
}): string {
  const where = namespace === undefined ? '' : ` --namespace ${namespace}`
  return [
    'The same by kubectl, with the password in a file:',
    `  berth pull-secret ${user} --server ${server} -o docker-config < password.txt \\`,
    `    | kubectl create secret docker-registry ${name}${where} --from-file=.dockerconfigjson=/dev/stdin`,
    `Pods use it by  spec.imagePullSecrets: [{ name: ${name} }]  or, all of a service account's:`,
    `  kubectl patch serviceaccount default${where} -p '{"imagePullSecrets":[{"name":"${name}"}]}'`,
    '',
  ].join('\n')
}

type SecretOptions = {
  readonly name: string
  readonly namespace: string | undefined
  readonly config: string
}

/** Kubernetes reads YAML 1.1, to which more names look like numbers and booleans. */
function manifest({ name, namespace, config }: SecretOptions): string {
  const secret = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, ...(namespace !== undefined && { namespace }) },
    type: 'kubernetes.io/dockerconfigjson',
    data: { '.dockerconfigjson': Buffer.from(config).toString('base64') },
  }
  return stringify(secret, { version: '1.1', lineWidth: 0 })
}

const examples = `
The password is asked for, or read from standard input.

Examples:
  berth pull-secret kubelet -n my-app < password.txt | kubectl apply -f -
  berth pull-secret kubelet --server localhost:30026 --name regcred < password.txt > secret.yaml`
