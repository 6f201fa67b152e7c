import { parseRegistry } from '../../config/config.ts'
import { loadUserAccess, type UserAccess } from '../../kubernetes/kubernetes.ts'
import { createProxyUrls } from '../../outbound/outbound.ts'
import type { Context } from '../login/registry-options.ts'
import type { ClusterOptions } from './cluster-options.ts'

/** Who the user is, for the cluster that the options name. */
export function openUserAccess(
  options: Pick<ClusterOptions, 'context' | 'kubeconfig'>,
  environment: Context['environment'],
): Promise<UserAccess> {
  const proxies = createProxyUrls(
    parseRegistry({ url: 'http://localhost' }, environment).ambient.proxy,
  )
  const proxyFor = (server: URL) => proxies(server)?.href
  return loadUserAccess({ ...options, environment, proxyFor })
}
