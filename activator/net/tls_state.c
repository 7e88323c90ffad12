#include "activator/net/tls_state.h"

#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "activator/net/tls_impl.h"
#include "common/hmap.h"
#include "common/ref.h"
#include "common/text.h"

#define NAME_MOST 253

struct tls_state {
	_Atomic uint32_t refs;
	struct tls_cert **certs;
	size_t certs_n;
	/* struct tls_entry by name; those of "*.x" by "x". */
	struct hmap exact, wild;
	struct tls_entry *fallback; /* an entry of the maps, or of its own */
	struct tls_entry nameless;  /* of a first certificate without names */
	bool has_policies;	    /* that differ */
	/* Then, for hosts that no certificate names: the only one that is not 0; 0: there are
	 * several. */
	uint64_t strictest;
	const struct tls_cert *clash;
	const char *clash_name;
	struct tls_ticket_keys keys;
};

int
tls_ticket_keys_rotate(struct tls_ticket_keys *keys)
{
	struct tls_ticket_key fresh;

	if (RAND_bytes(fresh.name, sizeof fresh.name) != 1 ||
	    RAND_priv_bytes(fresh.cipher, sizeof fresh.cipher) != 1 ||
	    RAND_priv_bytes(fresh.mac, sizeof fresh.mac) != 1)
		return -1;
	keys->v[1] = keys->v[0];
	keys->v[0] = fresh;
	OPENSSL_cleanse(&fresh, sizeof fresh);
	return 0;
}

/* --- making --- */

static struct tls_entry *
entry_of(struct tls_state *s, const char *name)
{
	bool is_wild = strncmp(name, "*.", 2) == 0;
	struct hmap *map = is_wild ? &s->wild : &s->exact;
	const char *key = name + (is_wild ? 2 : 0);
	struct tls_entry *entry = hmap_find(map, key);

	if (entry == NULL) {
		entry = xcalloc(1, sizeof *entry);
		hmap_put(map, key, entry);
	}
	return entry;
}

static bool
is_empty(const struct tls_entry *e)
{
	size_t i;

	for (i = 0; i < TLS_KINDS; i++)
		if (e->certs[i] != NULL)
			return false;
	return true;
}

/* The first certificate of an entry decides what its clients must prove: one that asks for
 * something else does not join it. */
static bool
join(struct tls_entry *e, struct tls_cert *c)
{
	if (is_empty(e))
		e->policy = c->policy;
	if (e->policy != c->policy || (e->certs[c->kind] != NULL && e->certs[c->kind] != c))
		return false;
	e->certs[c->kind] = c;
	return true;
}

static void
add(struct tls_state *s, struct tls_cert *c)
{
	size_t i;

	for (i = 0; i < c->names_n; i++)
		if (!join(entry_of(s, c->names[i]), c) && s->clash == NULL) {
			s->clash = c;
			s->clash_name = c->names[i];
		}
}

static uint64_t
strictest_of(struct tls_cert *const *certs, size_t n)
{
	uint64_t found = 0;
	size_t i;

	for (i = 0; i < n; i++) {
		if (certs[i]->policy == 0 || certs[i]->policy == found)
			continue;
		if (found != 0)
			return 0;
		found = certs[i]->policy;
	}
	return found;
}

struct tls_state *
tls_state_new(struct tls_cert *const *certs, size_t n, const struct tls_ticket_keys *keys)
{
	struct tls_state *s = xcalloc(1, sizeof *s);
	size_t i;

	CHECK(n > 0);
	ref_init(&s->refs);
	s->keys = *keys;
	hmap_init(&s->exact);
	hmap_init(&s->wild);
	s->certs = xcalloc(n, sizeof(struct tls_cert *));
	for (i = 0; i < n; i++) {
		s->certs[s->certs_n++] = tls_cert_ref(certs[i]);
		add(s, certs[i]);
		s->has_policies |= certs[i]->policy != certs[0]->policy;
	}
	s->strictest = strictest_of(certs, n);
	s->fallback = certs[0]->names_n > 0 ? entry_of(s, certs[0]->names[0]) : &s->nameless;
	(void)join(s->fallback, certs[0]);
	return s;
}

struct tls_state *
tls_state_ref(struct tls_state *s)
{
	ref_add(&s->refs);
	return s;
}

static void
free_entries(struct hmap *map)
{
	const char *key;
	size_t at = 0;
	void *entry;

	while (hmap_next(map, &at, &key, &entry))
		free(entry);
	hmap_fini(map);
}

void
tls_state_unref(struct tls_state **sp)
{
	struct tls_state *s = *sp;

	*sp = NULL;
	if (s == NULL || !ref_drop(&s->refs))
		return;
	free_entries(&s->exact);
	free_entries(&s->wild);
	while (s->certs_n > 0)
		tls_cert_unref(&s->certs[--s->certs_n]);
	free(s->certs);
	OPENSSL_cleanse(&s->keys, sizeof s->keys);
	free(s);
}

/* --- finding --- */

const struct tls_entry *
tls_state_find(const struct tls_state *s, const char *host, size_t n, bool *is_known)
{
	char name[NAME_MOST];
	const struct tls_entry *found = NULL;
	const char *dot;
	size_t i;

	if (n > 0 && host[n - 1] == '.')
		n--;
	if (n > 0 && n <= sizeof name) {
		for (i = 0; i < n; i++)
			name[i] = text_lower(host[i]);
		found = hmap_find_n(&s->exact, name, n);
		dot = found == NULL ? memchr(name, '.', n) : NULL;
		if (dot != NULL && dot > name)
			found = hmap_find_n(&s->wild, dot + 1, n - (size_t)(dot + 1 - name));
	}
	*is_known = found != NULL;
	return found == NULL ? s->fallback : found;
}

bool
tls_state_allows(const struct tls_state *s, uint64_t policy, const char *host, size_t n)
{
	const struct tls_entry *entry;
	bool is_known;

	if (!s->has_policies)
		return policy == s->certs[0]->policy;
	entry = tls_state_find(s, host, n, &is_known);
	if (is_known)
		return policy == entry->policy;
	return policy != 0 && policy == s->strictest;
}

const struct tls_ticket_keys *
tls_state_keys(const struct tls_state *s)
{
	return &s->keys;
}

bool
tls_state_clash(const struct tls_state *s, const struct tls_cert **cert, const char **name)
{
	*cert = s->clash;
	*name = s->clash_name;
	return s->clash != NULL;
}
