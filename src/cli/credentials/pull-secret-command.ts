import { Command, Option } from 'commander'
import { stringify } from 'yaml'
import { checkUser, readPassword } from '../login/secret-input.ts'

export function pullSecretCommand(): Command {
  return new Command('pull-secret')
    .summary('print an imagePullSecret for pods that pull from Berth')
    .description(
      'Print a Kubernetes Secret with the login of a user, with which pods pull images from Berth.',
    )
    .argument('<user>', 'a user of the htpasswd file')
    .option('--server <host:port>', 'host of Berth in image references', 'localhost:30026')
    .option('--name <name>', 'name of the Secret', 'berth-pull')
    .option('-n, --namespace <namespace>', 'namespace of the Secret')
    .addOption(
      new Option('-o, --output <format>', 'a manifest, or only the config.json in it')
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

/** No command has the password in an argument: other users of the machine could read it. */
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
    'The same with kubectl, with the password in a file:',
    `  berth pull-secret ${user} --server ${server} -o docker-config < password.txt \\`,
    `    | kubectl create secret docker-registry ${name}${where} --from-file=.dockerconfigjson=/dev/stdin`,
    `Add it to pods with  spec.imagePullSecrets: [{ name: ${name} }]  or to all pods of a service account:`,
    `  kubectl patch serviceaccount default${where} -p '{"imagePullSecrets":[{"name":"${name}"}]}'`,
    '',
  ].join('\n')
}

type SecretOptions = {
  readonly name: string
  readonly namespace: string | undefined
  readonly config: string
}

/** YAML 1.1, as Kubernetes reads it: there, more names must be quoted. */
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
It prompts for the password, or reads it from standard input.

Examples:
  # create the Secret in a namespace
  berth pull-secret kubelet -n my-app < password.txt | kubectl apply -f -
  # write the manifest to a file, under another name
  berth pull-secret kubelet --server localhost:30026 --name regcred < password.txt > secret.yaml`
