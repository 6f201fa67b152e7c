/** All host names of Docker Hub: in image names, in docker's configuration, of its registry. */
export const dockerHubHosts: readonly string[] = [
  'docker.io',
  'index.docker.io',
  'registry-1.docker.io',
]

/** The key of Docker Hub in docker's configuration. */
export const dockerHubKey = 'https://index.docker.io/v1/'
