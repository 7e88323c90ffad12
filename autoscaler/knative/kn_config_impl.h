/* kn_config_impl - what the files of kn_config share.  Thread: the autoscaler's only loop. */
#ifndef AUTOSCALER_KNATIVE_KN_CONFIG_IMPL_H
#define AUTOSCALER_KNATIVE_KN_CONFIG_IMPL_H

#include "autoscaler/knative/kn_config.h"

/* Fill err with "KEY: expected EXPECTED, got "TEXT"".  Returns -1. */
int kn_config_mistake(struct err *, const char *key, const char *expected, const char *text);

/* --- the ConfigMaps with a fixed set of keys --- */

enum kn_config_map {
	KN_CONFIG_AUTOSCALER,
	KN_CONFIG_DEFAULTS,
	KN_CONFIG_DEPLOYMENT,
	KN_CONFIG_FEATURES,
	KN_CONFIG_GC,
	KN_CONFIG_NETWORK,
	KN_CONFIG_DOMAIN, /* each of its keys is a domain */
	KN_CONFIG_MAPS_N
};

/* Set what the keys of these ConfigMaps are where they are not given. */
void kn_config_set_defaults(struct kn_config *);
/* Free the strings and lists of these ConfigMaps. */
void kn_config_free_values(struct kn_config *);

enum kn_config_key { KN_KEY_TAKEN, KN_KEY_WRONG, KN_KEY_NO_EQUAL, KN_KEY_UNKNOWN };

/* Take a key.  KN_KEY_WRONG: err says why. */
NODISCARD enum kn_config_key kn_config_take_key(struct kn_config *, enum kn_config_map,
						const char *key, const char *text, struct err *);
/* Is key the older spelling of another one, which wins where both are given?  Its present
 * spelling, or NULL. */
const char *kn_config_new_spelling(enum kn_config_map, const char *key);
/* What keys mean together.  0, or -1 with err. */
NODISCARD int kn_config_check(struct kn_config *, enum kn_config_map, struct err *);

/* --- config-domain --- */

void kn_config_domain_init(struct kn_domain_config *);
void kn_config_domain_fini(struct kn_domain_config *);
/* Take a domain with the YAML text of its selector.  0, or -1 with err. */
NODISCARD int kn_config_domain_take(struct kn_domain_config *, const char *name, const char *text,
				    struct err *);
/* Add the default domain, unless a domain without labels was taken. */
void kn_config_domain_finish(struct kn_domain_config *, const char *cluster_domain);

#endif
