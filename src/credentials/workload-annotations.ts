import type { CredentialsOptions } from './credentials-options.ts'

/** The annotations of a Kubernetes service account that name an identity of its cloud. */
export const workloadAnnotations: Readonly<
  Partial<Record<CredentialsOptions['type'], readonly string[]>>
> = {
  aws: ['eks.amazonaws.com/role-arn'],
  google: ['iam.gke.io/gcp-service-account'],
  azure: ['azure.workload.identity/client-id', 'azure.workload.identity/tenant-id'],
}
