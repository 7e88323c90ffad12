#include "autoscaler/kubernetes/kube_found.h"

#include <stdlib.h>
#include <string.h>

#include "autoscaler/knative/kn_output.h"
#include "autoscaler/knative/knative.h"
#include "autoscaler/kubernetes/kube_claims.h"
#include "autoscaler/kubernetes/kube_services.h"
#include "common/strbuf.h"

static char *
take_claims(const struct kn_claims *claims, const struct service_conf *svc, const char *owner)
{
	struct kube_claims *c = claims->arg;
	struct strbuf why;

	strbuf_init(&why, 0);
	if (kube_claims_taken(c, svc, &why))
		return strbuf_take(&why);
	strbuf_fini(&why);
	kube_claims_put(c, svc, owner);
	return NULL;
}

static void
claim_annotated(struct kube_claims *c, const struct service_conf *v, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		char *owner = xasprintf("the annotated service \"%s\"", v[i].name);

		kube_claims_put(c, &v[i], owner);
		free(owner);
	}
}

/* NULL: not known yet. */
static const struct service_conf *
knative_of(struct kn_controllers *k, const struct settings *settings,
	   const struct service_conf *annotated, size_t annotated_n, uint64_t serial, size_t *n)
{
	const struct kn_claims take = {take_claims, &(struct kube_claims){.owners_n = 0}};
	const struct service_conf *v;

	kube_claims_init(take.arg, settings->services, settings->services_n);
	claim_annotated(take.arg, annotated, annotated_n);
	v = knative_services(k, settings, &take, serial, n);
	kube_claims_fini(take.arg);
	return v;
}

const struct service_conf *
kube_found_get(struct kube_found *f, struct kube_services *services, struct kn_controllers *knative,
	       const struct settings *settings, size_t *n)
{
	static const struct service_conf none;
	const struct service_conf *a = &none, *b = &none;
	size_t an = 0, bn = 0;

	*n = 0;
	f->serial++;
	if (services != NULL)
		a = kube_services_get(services, settings, &an);
	if (a != NULL && knative != NULL)
		b = knative_of(knative, settings, a, an, f->serial, &bn);
	if (a == NULL || b == NULL)
		return NULL;
	free(f->before);
	f->before = f->array;
	f->array = xcalloc(an + bn + 1, sizeof *f->array);
	memcpy(f->array, a, an * sizeof *a);
	memcpy(f->array + an, b, bn * sizeof *b);
	*n = an + bn;
	return f->array;
}

void
kube_found_fini(struct kube_found *f)
{
	free(f->before);
	free(f->array);
	*f = (struct kube_found){.serial = f->serial};
}
