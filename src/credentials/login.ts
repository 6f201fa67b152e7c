import type { Credential } from './credential.ts'

export type Login = { readonly username: string; readonly password: string }

/**
 * A credential as a user name and a password, the only form that docker's credential helpers and
 * kubelets support. An identity token with a user name is sent as that user's password: docker, podman
 * and kubelets all accept it in that form, and in no other. Undefined for an anonymous credential,
 * an identity token without a user name, and a registry token, which has no user name.
 */
export function loginOf(credential: Credential): Login | undefined {
  switch (credential.kind) {
    case 'anonymous':
    case 'registry-token':
      return undefined
    case 'password':
      return { username: credential.username, password: credential.password }
    case 'access-token':
      return { username: credential.username, password: credential.token }
    case 'identity-token':
      return credential.username === ''
        ? undefined
        : { username: credential.username, password: credential.token }
  }
}
