/* A look-up has three steps: from the host to a struct vhost, from a path prefix to a struct
 * path_prefix, from the value of a header field to a struct target.  Each step is a look-up
 * in a hash table for each suffix of the host, and each prefix of the path, that could be
 * there.  How many these are is bounded by the longest that a service has, not by what a
 * client sends. */
#include "activator/route.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "activator/revision.h"
#include "activator/route_query.h"
#include "activator/rules.h"
#include "common/hmap.h"
#include "common/log.h"
#include "common/path.h"
#include "common/ref.h"
#include "common/text.h"

#define HOST_MAX 255	  /* bytes; RFC 1035 2.3.4 */
#define DOUBTFUL_MAX 1024 /* bytes of a path that is tried in all its readings: 0.7 ms */
#define TAG_FIELD "x-activator-tag"
#define KNATIVE_TAG_FIELD "knative-serving-tag"

/* One revision's part of a service's traffic. */
struct traffic_entry {
	struct route_revision revision;
	uint32_t percent;
	uint32_t weight; /* among sticky clients; 0 if an entry before it has the same revision */
	uint64_t salt;	 /* of the revision's name */
	char *tag;	 /* NULL: none */
	const struct msg_traffic *from; /* while the table is built */
};

enum sticky { STICKY_NONE, STICKY_COOKIE, STICKY_FIELD };

struct service {
	struct route_service pub;
	struct rules *rules; /* NULL: none */
	struct traffic_entry *traffic;
	size_t traffic_n;
	uint32_t total; /* sum of the percents */
	bool has_tags;
	bool has_split_tags; /* a tag has several entries */
	enum sticky sticky;
	char *sticky_name; /* of the cookie, or of the field in lower case */
	uint64_t salt;	   /* the same cookie is hashed differently by each service */
};

/* What a look-up finds. */
struct target {
	const struct service *service;
	const struct traffic_entry *tagged; /* a tag's own host was asked for; NULL: none was */
	bool is_derived;		    /* that host is TAG-HOST of a host of the service */
	bool is_local;			    /* only for requests at local listeners */
};

/* The services of one host and path prefix that match on the same header field. */
struct field_match {
	struct field_match *next;
	char *name;	    /* lower case */
	struct hmap values; /* to struct target */
};

/* One host and one path prefix. */
struct path_prefix {
	struct field_match *fields; /* in the order of the services */
	struct target *any;	    /* the service that matches on no field; NULL: none */
};

struct vhost {
	struct hmap prefixes;	  /* without a slash at the end, to struct path_prefix */
	struct path_prefix *root; /* for the prefix "/"; NULL: none */
	size_t longest;		  /* of prefixes, in bytes */
};

struct routes {
	_Atomic uint32_t refs;
	struct service *services;
	size_t services_n;
	struct hmap hosts;	 /* "host" or "*.suffix", to struct vhost */
	struct hmap names;	 /* of services with a host and traffic, to struct service */
	struct vhost *any;	 /* for "*"; NULL: none */
	size_t longest_wildcard; /* ".suffix" in bytes; 0: no wildcards */
};

/* --- building --- */

/* The finalizer of MurmurHash3. */
static uint64_t
mix(uint64_t h)
{
	h = (h ^ h >> 33) * UINT64_C(0xff51afd7ed558ccd);
	h = (h ^ h >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
	return h ^ h >> 33;
}

/* FNV-1a.  The result is the same in every process, so that a client stays with its revision after
 * a restart and behind another activator. */
static uint64_t
hash(uint64_t seed, const char *s, size_t n)
{
	uint64_t h = seed ^ UINT64_C(0xcbf29ce484222325);
	size_t i;

	for (i = 0; i < n; i++)
		h = (h ^ (unsigned char)s[i]) * UINT64_C(0x100000001b3);
	return mix(h);
}

static struct vhost *
vhost_get(struct routes *r, const char *host)
{
	struct vhost *v;

	if (strcmp(host, "*") == 0) {
		if (r->any == NULL)
			r->any = xcalloc(1, sizeof *r->any);
		return r->any;
	}
	v = hmap_find(&r->hosts, host);
	if (v == NULL) {
		v = xcalloc(1, sizeof *v);
		hmap_init(&v->prefixes);
		hmap_put(&r->hosts, host, v);
	}
	if (host[0] == '*')
		r->longest_wildcard = MAX(r->longest_wildcard, strlen(host) - 1);
	return v;
}

static struct path_prefix *
path_prefix_get(struct vhost *v, const char *path)
{
	char *prefix = path_prefix(path);
	struct path_prefix *p = prefix[0] == '\0' ? v->root : hmap_find(&v->prefixes, prefix);

	if (p == NULL) {
		p = xcalloc(1, sizeof *p);
		if (prefix[0] == '\0')
			v->root = p;
		else
			hmap_put(&v->prefixes, prefix, p);
		v->longest = MAX(v->longest, strlen(prefix));
	}
	free(prefix);
	return p;
}

static struct field_match *
field_match_get(struct path_prefix *p, const char *name)
{
	char *field = text_lower_copy(name, strlen(name));
	struct field_match **at, *f;

	for (at = &p->fields; *at != NULL && strcmp((*at)->name, field) != 0; at = &(*at)->next)
		;
	if (*at != NULL) {
		free(field);
		return *at;
	}
	*at = f = xcalloc(1, sizeof *f);
	f->name = field;
	hmap_init(&f->values);
	return f;
}

/* False: another service was there first. */
static bool
path_prefix_claim(struct path_prefix *p, const struct msg_service *from, const struct target *what)
{
	struct field_match *f = NULL;
	const char *value = from->match_value == NULL ? "" : from->match_value;
	struct target *t;

	if (from->match_header != NULL) {
		f = field_match_get(p, from->match_header);
		t = hmap_find(&f->values, value);
	} else {
		t = p->any;
	}
	if (t != NULL)
		return t->service == what->service;
	t = xmalloc(sizeof *t);
	*t = *what;
	if (f != NULL)
		hmap_put(&f->values, value, t);
	else
		p->any = t;
	return true;
}

/* Enter every path of a service below one host. */
static void
add_host(struct routes *r, const char *host, const struct msg_service *from,
	 const struct target *what)
{
	static char root[] = "/";
	static char *const roots[] = {root};
	size_t host_n = strlen(host), n = from->paths.n == 0 ? 1 : from->paths.n, i;
	char *const *paths = from->paths.n == 0 ? roots : from->paths.v;
	char *key;

	if (host_n > 1 && host[host_n - 1] == '.')
		host_n--;
	key = text_lower_copy(host, host_n);
	for (i = 0; i < n; i++)
		if (!path_prefix_claim(path_prefix_get(vhost_get(r, key), paths[i]), from, what) &&
		    what->tagged == NULL)
			log_warn(NULL, "host and path ignored: another service has them",
				 "service=%s host=%s path=%s", from->name, key, paths[i]);
	free(key);
}

static void
add_hosts(struct routes *r, const struct str_list *hosts, const struct msg_service *from,
	  const struct service *s, bool is_local)
{
	size_t i;

	for (i = 0; s->traffic_n > 0 && i < hosts->n; i++)
		add_host(r, hosts->v[i], from,
			 &(struct target){.service = s, .is_local = is_local});
}

/* Enter the host TAG-HOST for the tag of an entry and each of these hosts of its service. */
static void
add_derived_hosts(struct routes *r, const struct str_list *hosts, const struct msg_service *from,
		  const struct target *what)
{
	size_t i;

	for (i = 0; i < hosts->n; i++) {
		char *host;

		if (hosts->v[i][0] == '*')
			continue;
		host = xasprintf("%s-%s", what->tagged->tag, hosts->v[i]);
		add_host(r, host, from, what);
		free(host);
	}
}

/* Enter the hosts of each tag of the service. */
static void
add_tag_hosts(struct routes *r, const struct msg_service *from, const struct service *s)
{
	size_t i, k;

	for (i = 0; i < s->traffic_n; i++) {
		const struct traffic_entry *entry = &s->traffic[i];
		const struct msg_traffic *t = entry->from;
		struct target public = {.service = s, .tagged = entry, .is_derived = true},
			      local = public;

		local.is_local = true;

		if (entry->tag != NULL && t->hosts.n + t->local_hosts.n == 0) {
			add_derived_hosts(r, &from->hosts, from, &public);
			add_derived_hosts(r, &from->local_hosts, from, &local);
		}
		public.is_derived = local.is_derived = false;
		for (k = 0; entry->tag != NULL && k < t->hosts.n; k++)
			add_host(r, t->hosts.v[k], from, &public);
		for (k = 0; entry->tag != NULL && k < t->local_hosts.n; k++)
			add_host(r, t->local_hosts.v[k], from, &local);
	}
}

static bool
has_weights(const struct msg_service *from)
{
	size_t i;

	for (i = 0; i < from->traffic_n; i++)
		if (from->traffic[i].weight > 0)
			return true;
	return false;
}

static void
add_weight(struct service *s, const struct traffic_entry *entry, uint32_t weight)
{
	size_t i = 0;

	while (s->traffic[i].revision.rev != entry->revision.rev)
		i++;
	s->traffic[i].weight += weight;
}

static void
add_traffic(struct service *s, const struct msg_service *from, const struct msg_traffic *t,
	    const struct route_source *source)
{
	struct revision *rev = source->find(source->ctx, t->revision);
	struct traffic_entry *entry;
	size_t i;

	if (rev == NULL) {
		log_warn(NULL, "traffic entry ignored: its revision was not described",
			 "service=%s revision=%s", from->name, t->revision);
		return;
	}
	entry = &s->traffic[s->traffic_n++];
	entry->from = t;
	entry->revision.rev = rev;
	entry->revision.limits = revision_limits_ref(entry->revision.rev->limits);
	entry->percent = t->percent;
	entry->salt = hash(0, t->revision, strlen(t->revision));
	for (i = 0; t->tag != NULL && i + 1 < s->traffic_n; i++)
		s->has_split_tags |= text_equal(s->traffic[i].tag, t->tag);
	entry->tag = text_copy(t->tag);
	add_weight(s, entry, has_weights(from) ? t->weight : t->percent);
	s->total += t->percent;
	s->has_tags |= t->tag != NULL;
}

static void
service_sticky(struct service *s, const char *sticky)
{
	const char *name = sticky == NULL ? NULL : strchr(sticky, ':');

	if (name == NULL || name[1] == '\0')
		return;
	name++;
	s->sticky = strncmp(sticky, "cookie:", 7) == 0 ? STICKY_COOKIE : STICKY_FIELD;
	s->sticky_name = s->sticky == STICKY_COOKIE ? xstrdup(name)
						    : text_lower_copy(name, strlen(name));
}

static void
service_init(struct service *s, const struct msg_service *from, const struct route_source *source)
{
	size_t i;

	s->pub.name = xstrdup(from->name);
	if (from->waiting_page != NULL)
		s->pub.waiting_page = source->page(source->ctx, from);
	s->pub.redirect_https = from->redirect_https;
	s->pub.has_knative_tag = from->knative_tag_header;
	if (from->rules_n > 0)
		s->rules = rules_new(from->rules, from->rules_n);
	s->salt = hash(0, from->name, strlen(from->name));
	service_sticky(s, from->sticky);
	s->traffic = xcalloc(from->traffic_n + 1, sizeof *s->traffic);
	for (i = 0; i < from->traffic_n; i++)
		add_traffic(s, from, &from->traffic[i], source);
	if (from->traffic_n == 0 && from->revisions_n == 1)
		add_traffic(s, from,
			    &(struct msg_traffic){.revision = from->revisions[0].instances.revision,
						  .percent = 100},
			    source);
}

/* The table is built: what it was built of is the caller's. */
static void
forget_descriptions(struct service *s)
{
	size_t i;

	for (i = 0; i < s->traffic_n; i++)
		s->traffic[i].from = NULL;
}

struct routes *
routes_new(const struct msg_service *services, size_t n, const struct route_source *source)
{
	struct routes *r = xcalloc(1, sizeof *r);
	size_t i;

	ref_init(&r->refs);
	hmap_init(&r->hosts);
	hmap_init(&r->names);
	r->services = xcalloc(n, sizeof *r->services);
	for (i = 0; i < n; i++) {
		struct service *s = &r->services[r->services_n++];

		service_init(s, &services[i], source);
		add_hosts(r, &services[i].hosts, &services[i], s, false);
		add_hosts(r, &services[i].local_hosts, &services[i], s, true);
		if (services[i].hosts.n + services[i].local_hosts.n > 0 && s->traffic_n > 0)
			hmap_put(&r->names, s->pub.name, s);
	}
	for (i = 0; i < n; i++) /* last: a host of a service goes before that of a tag */
		add_tag_hosts(r, &services[i], &r->services[i]);
	for (i = 0; i < n; i++)
		forget_descriptions(&r->services[i]);
	return r;
}

/* --- freeing --- */

static void
field_match_free(struct field_match *f)
{
	size_t at = 0;
	void *target;

	while (hmap_next(&f->values, &at, NULL, &target))
		free(target);
	hmap_fini(&f->values);
	free(f->name);
	free(f);
}

static void
path_prefix_free(struct path_prefix *p)
{
	struct field_match *f, *next;

	if (p == NULL)
		return;
	for (f = p->fields; f != NULL; f = next) {
		next = f->next;
		field_match_free(f);
	}
	free(p->any);
	free(p);
}

static void
vhost_free(struct vhost *v)
{
	size_t at = 0;
	void *prefix;

	if (v == NULL)
		return;
	while (hmap_next(&v->prefixes, &at, NULL, &prefix))
		path_prefix_free(prefix);
	hmap_fini(&v->prefixes);
	path_prefix_free(v->root);
	free(v);
}

static void
service_fini(struct service *s)
{
	size_t i;

	for (i = 0; i < s->traffic_n; i++) {
		free(s->traffic[i].tag);
		revision_limits_unref(&s->traffic[i].revision.limits);
		revision_unref(&s->traffic[i].revision.rev);
	}
	free(s->traffic);
	free(s->sticky_name);
	rules_free(&s->rules);
	free(s->pub.waiting_page);
	free(s->pub.name);
}

static void
routes_free(struct routes *r)
{
	size_t at = 0, i;
	void *vhost;

	while (hmap_next(&r->hosts, &at, NULL, &vhost))
		vhost_free(vhost);
	hmap_fini(&r->hosts);
	hmap_fini(&r->names);
	vhost_free(r->any);
	for (i = 0; i < r->services_n; i++)
		service_fini(&r->services[i]);
	free(r->services);
	free(r);
}

struct routes *
routes_ref(struct routes *r)
{
	ref_add(&r->refs);
	return r;
}

void
routes_unref(struct routes **rp)
{
	struct routes *r = *rp;

	*rp = NULL;
	if (r != NULL && ref_drop(&r->refs))
		routes_free(r);
}

/* --- which service --- */

static void *
look_up(const struct hmap *m, const char *key, size_t n, struct route_match *out)
{
	out->lookups++;
	return hmap_find_n(m, key, n);
}

static const struct target *
find_target(const struct path_prefix *p, const struct route_query *q, struct route_match *out)
{
	const struct field_match *f;

	for (f = p->fields; f != NULL; f = f->next) {
		const struct target *t = NULL;
		const char *value;
		uint32_t at = 0;
		size_t n = 0;

		while (t == NULL && (value = q->field(q->ctx, f->name, &at, &n)) != NULL)
			t = look_up(&f->values, value, n, out);
		if (t != NULL)
			return t;
	}
	return p->any;
}

/* Prefixes end on a segment border; the longest is tried first: "/a/b/c", "/a/b", "/a", "/". */
static const struct target *
find_path(const struct vhost *v, const struct route_query *q, struct route_match *out)
{
	const struct target *t = NULL;
	size_t n;

	out->is_by_path |= v->longest > 0;
	for (n = MIN(q->path_n, v->longest); n > 0 && t == NULL; n--) {
		const struct path_prefix *p;

		if ((n < q->path_n && q->path[n] != '/') || q->path[n - 1] == '/')
			continue;
		p = look_up(&v->prefixes, q->path, n, out);
		t = p == NULL ? NULL : find_target(p, q, out);
	}
	return t != NULL || v->root == NULL ? t : find_target(v->root, q, out);
}

/* Try "*.b.c", then "*.c" for the host a.b.c.  Writes the '*' over bytes of host. */
static const struct target *
find_wildcard(const struct routes *r, char *host, size_t n, const struct route_query *q,
	      struct route_match *out)
{
	const struct target *t = NULL;
	size_t at = n > r->longest_wildcard ? n - r->longest_wildcard : 1;

	for (; at < n && t == NULL; at++) {
		const struct vhost *v;

		if (host[at] != '.')
			continue;
		host[at - 1] = '*';
		v = look_up(&r->hosts, host + at - 1, n - at + 1, out);
		t = v == NULL ? NULL : find_path(v, q, out);
	}
	return t;
}

static const struct target *
find(const struct routes *r, const struct route_query *q, struct route_match *out)
{
	const struct target *t = NULL;
	size_t n = q->host_n, i;
	char host[HOST_MAX + 1];

	if (n > 1 && q->host[n - 1] == '.')
		n--;
	if (n <= HOST_MAX) {
		const struct vhost *v;

		for (i = 0; i < n; i++)
			host[i] = text_lower(q->host[i]);
		v = n == 0 || host[0] == '*' ? NULL : look_up(&r->hosts, host, n, out);
		t = v == NULL ? NULL : find_path(v, q, out);
		if (t == NULL && r->longest_wildcard > 0)
			t = find_wildcard(r, host, n, q, out);
	}
	return t != NULL || r->any == NULL ? t : find_path(r->any, q, out);
}

/* --- which revision --- */

/* The value of a cookie, or NULL (RFC 6265 4.2.1: name=value; name=value). */
static const char *
find_cookie(const char *s, size_t n, const char *name, size_t *value_n)
{
	size_t name_n = strlen(name);
	const char *end = s + n;

	while (s < end) {
		const char *stop = memchr(s, ';', (size_t)(end - s));

		if (stop == NULL)
			stop = end;
		while (s < stop && *s == ' ')
			s++;
		if ((size_t)(stop - s) > name_n && s[name_n] == '=' &&
		    memcmp(s, name, name_n) == 0) {
			*value_n = (size_t)(stop - s) - name_n - 1;
			return s + name_n + 1;
		}
		s = stop + 1;
	}
	return NULL;
}

/* A client that sends the sticky cookie or field gets the same key each time.  False: it sends
 * none. */
static bool
sticky_key(const struct service *s, const struct route_query *q, uint64_t *key)
{
	const char *value = NULL, *cookies;
	uint32_t at = 0;
	size_t n = 0;

	if (s->sticky == STICKY_FIELD)
		value = q->field(q->ctx, s->sticky_name, &at, &n);
	while (s->sticky == STICKY_COOKIE && value == NULL &&
	       (cookies = q->field(q->ctx, "cookie", &at, &n)) != NULL)
		value = find_cookie(cookies, n, s->sticky_name, &n);
	if (value != NULL)
		*key = hash(s->salt, value, n);
	return value != NULL;
}

static const struct traffic_entry *
find_tagged_by(const struct service *s, const struct route_query *q, const char *field)
{
	const char *tag;
	uint32_t at = 0;
	size_t n = 0, i;

	while ((tag = q->field(q->ctx, field, &at, &n)) != NULL)
		for (i = 0; i < s->traffic_n; i++)
			if (s->traffic[i].tag != NULL && text_is(tag, n, s->traffic[i].tag))
				return &s->traffic[i];
	return NULL;
}

static const struct traffic_entry *
find_tagged(const struct service *s, const struct route_query *q)
{
	const struct traffic_entry *entry;

	if (!s->has_tags)
		return NULL;
	entry = find_tagged_by(s, q, TAG_FIELD);
	return entry == NULL && s->pub.has_knative_tag ? find_tagged_by(s, q, KNATIVE_TAG_FIELD)
						       : entry;
}

/* Each entry has a range of [0, total) as long as its percent, and the key falls into one of
 * them. */
static const struct traffic_entry *
entry_at(const struct service *s, uint64_t key)
{
	uint64_t at = (uint64_t)((unsigned __int128)key * s->total >> 64);
	size_t i;

	for (i = 0; i < s->traffic_n - 1 && at >= s->traffic[i].percent; i++)
		at -= s->traffic[i].percent;
	return &s->traffic[i];
}

/* Of the entries that have the tag of this one (a rollout splits it), one by their percents. */
static const struct traffic_entry *
share_of_tag(const struct service *s, const struct traffic_entry *entry, uint64_t key)
{
	uint64_t total = 0, at;
	size_t i;

	for (i = 0; s->has_split_tags && i < s->traffic_n; i++)
		if (text_equal(s->traffic[i].tag, entry->tag))
			total += s->traffic[i].percent;
	at = (uint64_t)((unsigned __int128)key * total >> 64);
	for (i = 0; total > 0 && i < s->traffic_n; i++) {
		if (!text_equal(s->traffic[i].tag, entry->tag))
			continue;
		if (at < s->traffic[i].percent)
			return &s->traffic[i];
		at -= s->traffic[i].percent;
	}
	return entry;
}

/* How long a client with this key would wait for the revision in a race, in which a revision with
 * twice the weight is twice as fast. */
static double
race_time(const struct traffic_entry *entry, uint64_t key)
{
	double part = ((double)(mix(key ^ entry->salt) >> 11) + 0.5) * 0x1p-53; /* of (0, 1) */

	return -log(part) / entry->weight;
}

/* The revision that wins the race for this key: each wins its part of the clients (weighted
 * rendezvous hashing).  A client moves only from a revision to one whose weight has grown beside
 * that one's: while a rollout raises one revision, and the others keep their proportions, a client
 * moves to that revision, once, or stays. */
static const struct traffic_entry *
entry_of(const struct service *s, uint64_t key)
{
	const struct traffic_entry *first = entry_at(s, key); /* if none has a weight */
	double least = INFINITY;
	size_t i;

	for (i = 0; i < s->traffic_n; i++) {
		const struct traffic_entry *entry = &s->traffic[i];
		double time = entry->weight == 0 ? INFINITY : race_time(entry, key);

		if (time < least) {
			least = time;
			first = entry;
		}
	}
	return first;
}

/* The part of its tag's requests that this one goes to. */
static const struct traffic_entry *
pick_of_tag(const struct service *s, const struct traffic_entry *entry, const struct route_query *q)
{
	uint64_t key = q->random;

	if (entry == NULL || !s->has_split_tags)
		return entry;
	(void)sticky_key(s, q, &key);
	return share_of_tag(s, entry, key);
}

static const struct traffic_entry *
pick_entry(const struct service *s, const struct route_query *q)
{
	uint64_t key;

	if (s->traffic_n == 1 || s->total == 0)
		return &s->traffic[0];
	return sticky_key(s, q, &key) ? entry_of(s, key) : entry_at(s, q->random);
}

bool
routes_leads_to(const struct routes *r, const char *service, const struct revision *rev)
{
	const struct service *s = hmap_find(&r->names, service);
	size_t i;

	for (i = 0; s != NULL && i < s->traffic_n; i++)
		if (s->traffic[i].revision.rev == rev)
			return true;
	return false;
}

const struct route_revision *
routes_pick(const struct routes *r, const char *name, uint64_t random,
	    const struct route_service **service)
{
	const struct service *s = hmap_find(&r->names, name);

	if (s == NULL)
		return NULL;
	*service = &s->pub;
	return &(s->total == 0 ? &s->traffic[0] : entry_at(s, random))->revision;
}

/* The match is right if the path of the query is in normal form, but for a slash at its end, or
 * if it is not by path. */
static void
find_match(const struct routes *r, const struct route_query *q, struct route_match *out)
{
	const struct target *t;
	const struct traffic_entry *entry;

	*out = (struct route_match){.action = RULE_WAKE};
	t = find(r, q, out);
	if (t == NULL || (t->is_local && !q->is_local))
		return;
	entry = t->tagged;
	if (entry == NULL)
		entry = find_tagged(t->service, q);
	out->is_default = entry == NULL;
	entry = pick_of_tag(t->service, entry, q);
	if (entry == NULL)
		entry = pick_entry(t->service, q);
	if (t->tagged != NULL)
		out->tag = t->tagged->tag;
	if (t->is_derived)
		out->tag_n = strlen(out->tag) + 1;
	out->service = &t->service->pub;
	out->revision = &entry->revision;
	if (t->service->rules == NULL)
		return;
	out->is_by_path |= rules_have_paths(t->service->rules);
	out->rule = rules_find(t->service->rules, q);
	if (out->rule != NULL)
		out->action = out->rule->action;
}

/* --- paths that are not in normal form --- */

static void
find_reading(const struct routes *r, const struct route_query *q, unsigned reading, unsigned depth,
	     char *buf, struct route_match *out)
{
	struct route_query normal = *q;

	normal.path = buf;
	normal.path_n = path_read(q->path, q->path_n, reading, depth, buf);
	find_match(r, &normal, out);
}

/* Is the match the same as out in each reading of the path?  Else a rule, or the choice of the
 * service, could be avoided by a spelling that only the origin understands. */
static bool
is_certain(const struct routes *r, const struct route_query *q, const struct path_doubts *d,
	   char *buf, const struct route_match *out)
{
	unsigned depth, reading;

	for (depth = 1; depth <= MAX(d->depth, 1u); depth++)
		for (reading = d->mask;; reading = (reading - 1) & d->mask) {
			struct route_match other;

			find_reading(r, q, reading, depth, buf, &other);
			if (other.service != out->service || other.rule != out->rule)
				return false;
			if (reading == 0)
				break;
		}
	return true;
}

static void
find_normal(const struct routes *r, const struct route_query *q, struct route_match *out)
{
	char small[512], *buf = q->path_n <= sizeof small ? small : xmalloc(q->path_n);
	struct path_doubts d;

	find_reading(r, q, 0, 1, buf, out);
	path_examine(&d, q->path, q->path_n, buf);
	if (d.depth > PATH_DEPTH_MAX || (d.mask != 0 && q->path_n > DOUBTFUL_MAX))
		out->is_ambiguous = true;
	else if (d.mask != 0 || d.depth > 1)
		out->is_ambiguous = !is_certain(r, q, &d, buf, out);
	if (buf != small)
		free(buf);
}

void
routes_find(const struct routes *r, const struct route_query *q, struct route_match *out)
{
	/* Most matches are not by path, and most paths are plain: these need no normal form. */
	find_match(r, q, out);
	if (out->is_by_path && !path_is_plain(q->path, q->path_n))
		find_normal(r, q, out);
}
