import { join } from 'node:path'
import type { Rooted } from './rooted.ts'

type KubeletPlan = {
  readonly files: readonly { readonly path: string; readonly body: () => string }[]
  /** A kubelet pulls by its container runtime. */
  readonly canPull: false
  readonly problems: readonly string[]
  readonly notes: readonly string[]
}

/** What a kubelet needs to hand the tokens of pods on to Berth. */
export type CredentialProvider = {
  /** Directory on the node for both files. It must exist. */
  readonly directory: string
  /** The program, a shell script. */
  readonly program: string
  /** The CredentialProviderConfig, in YAML. */
  readonly configuration: string
}

export const kubeletFiles = {
  program: 'berth-pod-token',
  configuration: 'berth-credential-provider.yaml',
} as const

const flags = {
  directory: '--image-credential-provider-bin-dir',
  configuration: '--image-credential-provider-config',
} as const

/** Where kubeadm, Debian and Red Hat keep the flags of a kubelet. Clouds keep them elsewhere. */
const flagFiles = [
  '/var/lib/kubelet/kubeadm-flags.env',
  '/etc/default/kubelet',
  '/etc/sysconfig/kubelet',
]

/**
 * The files are in place for a kubelet that has the flags, which it reads when it starts: neither can be
 * changed from a pod. Whether it has them is visible only where their file is.
 */
export async function planKubelet(
  rooted: Rooted,
  { directory, program, configuration }: CredentialProvider,
): Promise<KubeletPlan> {
  const none: KubeletPlan = { files: [], canPull: false, problems: [], notes: [] }
  if (!(await rooted.exists(directory)))
    return {
      ...none,
      problems: [`${directory} does not exist: create it, and mount it in this pod`],
    }
  const texts = await Promise.all(flagFiles.map((file) => rooted.text(file)))
  const known = texts.filter((text) => text !== undefined).join('\n')
  return {
    ...none,
    files: [
      { path: join(directory, kubeletFiles.program), body: () => program },
      { path: join(directory, kubeletFiles.configuration), body: () => configuration },
    ],
    notes: adviceFor(directory, known),
  }
}

function adviceFor(directory: string, known: string): readonly string[] {
  const configuration = join(directory, kubeletFiles.configuration)
  const found = {
    directory: flagIn(flags.directory, known),
    configuration: flagIn(flags.configuration, known),
  }
  if (found.directory === directory && found.configuration === configuration) return []
  const wanted = `${flags.directory}=${directory} ${flags.configuration}=${configuration}`
  if (found.directory === undefined && found.configuration === undefined)
    return [
      `start the kubelet with ${wanted}, unless it has these flags already (Kubernetes 1.34 or later)`,
    ]
  return [
    `the kubelet has a credential provider already, in ${found.directory} by ${found.configuration}: use that directory for Berth as well, add the entry of ${configuration} to that file, and restart the kubelet`,
  ]
}

/** The last value counts. */
function flagIn(flag: string, text: string): string | undefined {
  return [...text.matchAll(new RegExp(`${flag}[= ]["']?([^\\s"']+)`, 'g'))].at(-1)?.[1]
}
