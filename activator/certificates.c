#include "activator/certificates.h"

#include <stdlib.h>
#include <string.h>

#include "activator/net/tls.h"
#include "activator/net/tls_cert.h"
#include "activator/net/tls_state.h"
#include "activator/net/tls_trust.h"
#include "common/audit.h"
#include "common/clk.h"
#include "common/conf_errors.h"
#include "common/file.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/settings.h"

#define DAY_S 86400
#define LOOKS_A_TICK 256 /* pairs whose files are looked at in one tick */
#define TICK_LEAST (10 * CLK_MS)
#define SETTLE (200 * CLK_MS) /* how long the files of a pair must have stood still */

/* What stat(2) says of the files of a pair: it differs if one of them was changed or replaced. */
struct look {
	struct {
		dev_t dev;
		ino_t ino;
		off_t size;
		struct timespec mtime, ctime;
	} files[3];
};

struct watched {
	const struct certificate_conf *conf;
	struct tls_cert *cert;
	struct look tried; /* the newest files that were read, those with a mistake included */
	struct look seen;  /* at the last look */
	bool is_moving;	   /* a look has found a change; the next one decides */
	bool must_read;	   /* that one found it again: the files are about to be read */
	struct audit_entry entry; /* it was read again, and the workers do not use it yet */
	bool is_expiry_logged;
};

struct certificates {
	struct loop *loop;
	const struct settings *settings;
	const struct activator_conf *conf; /* in it */
	const struct certificates_ops *ops;
	void *arg;
	struct watched *pairs;
	size_t n, at; /* at: the next to be looked at */
	size_t moving_n;
	struct tls_ticket_keys keys;
	int64_t rotated_ns; /* when the current key was made */
	struct loop_timer look_timer, settle_timer, rotation_timer;
	uint64_t failures;
};

/* --- files --- */

static void
look_at(struct look *l, size_t i, const char *path)
{
	struct stat st;

	if (path == NULL || file_stat(path, &st) < 0)
		return;
	l->files[i].dev = st.st_dev;
	l->files[i].ino = st.st_ino;
	l->files[i].size = st.st_size;
	l->files[i].mtime = st.st_mtim;
	l->files[i].ctime = st.st_ctim;
}

static struct look
look(const struct certificate_conf *conf)
{
	struct look l;

	memset(&l, 0, sizeof l); /* it is compared as bytes */
	look_at(&l, 0, conf->chain);
	look_at(&l, 1, conf->key);
	look_at(&l, 2, conf->client_ca);
	return l;
}

static bool
is_same(const struct look *a, const struct look *b)
{
	return memcmp(a, b, sizeof *a) == 0;
}

/* --- the state that the workers use --- */

static void
log_clash(const struct tls_state *state)
{
	const struct tls_cert *cert;
	const char *name;

	if (tls_state_clash(state, &cert, &name))
		log_warn(NULL,
			 "a name stands in two certificates: the first of the conf file has it",
			 "name=%s unused=%s", name, tls_cert_name(cert));
}

struct tls_state *
certificates_state(const struct certificates *c)
{
	struct tls_cert **all = xcalloc(c->n, sizeof(struct tls_cert *));
	struct tls_state *state;
	size_t i;

	for (i = 0; i < c->n; i++)
		all[i] = c->pairs[i].cert;
	state = tls_state_new(all, c->n, &c->keys);
	free(all);
	return state;
}

static void
publish(struct certificates *c, bool are_certs_new)
{
	struct tls_state *state = certificates_state(c);

	if (are_certs_new)
		log_clash(state);
	c->ops->on_state(state, c->arg);
	tls_state_unref(&state);
}

/* --- loading --- */

static unsigned
line_of(const struct certificate_conf *conf, const char *key)
{
	return settings_origins_line(&conf->origins, key, conf->line);
}

/* Load a pair, and use it.  -1 with err, and the line: the one before stays. */
static int
load(struct watched *p, unsigned *line, struct err *e)
{
	struct look before = look(p->conf);
	const char *key;
	struct tls_cert *cert = tls_cert_load(p->conf, &key, e);

	p->tried = p->seen = before;
	if (cert == NULL) {
		*line = line_of(p->conf, key);
		return err_prefix(e, "%s", key);
	}
	tls_cert_unref(&p->cert);
	p->cert = cert;
	p->is_expiry_logged = false;
	return 0;
}

static double
days_left(const struct tls_cert *cert)
{
	return ((double)tls_cert_not_after(cert) - (double)clk_wall() / (double)CLK_S) / DAY_S;
}

static void
log_expiry(struct watched *p)
{
	if (p->is_expiry_logged || days_left(p->cert) > 0)
		return;
	p->is_expiry_logged = true;
	log_warn(NULL, "a certificate has expired", "certificate=%s chain=%s", p->conf->name,
		 p->conf->chain);
}

/* --- the audit --- */

static struct audit *
audit_of(const struct certificates *c)
{
	return c->ops->audit == NULL ? NULL : c->ops->audit(c->arg);
}

/* "sha256:ab… until 2026-11-30T19:40:00.000000Z", the caller's. */
static char *
describe(const struct tls_cert *cert)
{
	char digest[TLS_CERT_DIGEST], until[AUDIT_TIME_TEXT];

	tls_cert_digest(cert, digest);
	audit_time_format(tls_cert_not_after(cert) * CLK_S, until);
	return xasprintf("sha256:%s until %s", digest, until);
}

static void
begin_entry(const struct certificates *c, struct watched *p)
{
	const struct certificate_conf *conf = p->conf;
	char *from = describe(p->cert);
	char *what = xasprintf("chain %s, key %s", conf->chain,
			       conf->key == NULL ? conf->chain : conf->key);
	const struct audit_change change = {
		.subject = {.kind = AUDIT_CERTIFICATE, .object = conf->name},
		.by = {.kind = AUDIT_BY_FILE},
		.from = AUDIT_TEXT(from),
		.what = what};

	audit_intent(audit_of(c), &p->entry, &change);
	free(what);
	free(from);
}

static void
end_entry(const struct certificates *c, struct watched *p, const char *why)
{
	char *now;

	if (p->entry.id[0] == '\0')
		return;
	now = describe(p->cert);
	audit_outcome(audit_of(c), &p->entry, why == NULL ? AUDIT_DONE : AUDIT_FAILED, why,
		      AUDIT_TEXT(now));
	free(now);
}

static bool
reload(struct certificates *c, struct watched *p)
{
	struct err e = {0};
	unsigned line;

	if (load(p, &line, &e) < 0) {
		c->failures++;
		end_entry(c, p, e.text);
		log_error(NULL, "cannot use a certificate that has changed: the one before stays",
			  "certificate=%s at=%s:%u err=%s", p->conf->name, c->settings->file, line,
			  e.text);
		return false;
	}
	log_info(NULL, "a certificate was read again", "certificate=%s days_left=%.0f",
		 p->conf->name, days_left(p->cert));
	log_expiry(p);
	return true;
}

/* --- watching --- */

/* Two looks in a row find the same change: read the files. */
static void
on_settled(void *arg)
{
	struct certificates *c = arg;
	bool must_read = false, has_changed = false;
	size_t i;

	c->moving_n = 0;
	for (i = 0; i < c->n; i++) {
		struct watched *p = &c->pairs[i];
		struct look now;

		if (!p->is_moving)
			continue;
		now = look(p->conf);
		p->is_moving = !is_same(&now, &p->seen);
		p->seen = now;
		if (p->is_moving)
			c->moving_n++;
		else if (!is_same(&now, &p->tried)) {
			p->must_read = must_read = true;
			begin_entry(c, p);
		}
	}
	if (must_read)
		audit_settle(audit_of(c)); /* what follows reads files, too */
	for (i = 0; must_read && i < c->n; i++) {
		if (c->pairs[i].must_read)
			has_changed |= reload(c, &c->pairs[i]);
		c->pairs[i].must_read = false;
	}
	if (c->moving_n > 0)
		loop_timer_set(&c->settle_timer, SETTLE);
	if (has_changed)
		publish(c, true);
	for (i = 0; has_changed && i < c->n; i++)
		end_entry(c, &c->pairs[i], NULL);
}

static void
look_again(struct certificates *c, struct watched *p)
{
	struct look now = look(p->conf);

	log_expiry(p);
	if (p->is_moving || is_same(&now, &p->tried))
		return;
	p->seen = now;
	p->is_moving = true;
	c->moving_n++;
	if (!loop_timer_pending(&c->settle_timer))
		loop_timer_set(&c->settle_timer, SETTLE);
}

/* All are looked at once in certificate_check, a part of them in each tick. */
static int64_t
tick(const struct certificates *c)
{
	int64_t ticks = (int64_t)((c->n + LOOKS_A_TICK - 1) / LOOKS_A_TICK);

	return MAX(c->conf->certificate_check / ticks, TICK_LEAST);
}

static void
on_look(void *arg)
{
	struct certificates *c = arg;
	size_t i;

	for (i = 0; i < MIN(c->n, (size_t)LOOKS_A_TICK); i++) {
		look_again(c, &c->pairs[c->at]);
		c->at = (c->at + 1) % c->n;
	}
	loop_timer_set(&c->look_timer, tick(c));
}

/* --- keys of session tickets --- */

static void
await_rotation(struct certificates *c)
{
	int64_t due_ns = c->rotated_ns + c->conf->tls_ticket_rotation;

	loop_timer_set(&c->rotation_timer, MAX(due_ns - clk_now(), 0));
}

static void
on_rotation(void *arg)
{
	struct certificates *c = arg;

	c->rotated_ns = clk_now();

	if (tls_ticket_keys_rotate(&c->keys) < 0)
		log_error(NULL, "cannot make a key for session tickets: the one before stays", "");
	else
		publish(c, false);
	await_rotation(c);
}

void
certificates_tickets(const struct certificates *c, struct tls_ticket_keys *keys,
		     int64_t *rotated_ns)
{
	*keys = c->keys;
	*rotated_ns = c->rotated_ns;
}

void
certificates_adopt_tickets(struct certificates *c, const struct tls_ticket_keys *keys,
			   int64_t rotated_ns)
{
	c->keys = *keys;
	c->rotated_ns = MIN(rotated_ns, clk_now());
}

/* --- checking --- */

static void
check_dates(const struct certificate_conf *conf, const struct tls_cert *cert,
	    struct conf_errors *warnings)
{
	int64_t now = clk_wall() / CLK_S;

	if (tls_cert_not_after(cert) < now)
		conf_error(warnings, line_of(conf, "chain"),
			   "warning: certificate %s has expired %lld days ago",
			   CONF_QUOTED(conf->name),
			   (long long)((now - tls_cert_not_after(cert)) / DAY_S));
	else if (tls_cert_not_before(cert) > now)
		conf_error(warnings, line_of(conf, "chain"),
			   "warning: certificate %s is not valid yet", CONF_QUOTED(conf->name));
}

static void
check_one(const struct certificate_conf *conf, struct tls_cert **cert, struct conf_errors *errors,
	  struct conf_errors *warnings)
{
	const char *const *names, *key;
	struct err e;

	*cert = tls_cert_load(conf, &key, &e);
	if (*cert == NULL) {
		conf_error(errors, line_of(conf, key), "%s: %s", key, e.text);
		return;
	}
	check_dates(conf, *cert, warnings);
	if (tls_cert_names(*cert, &names) == 0)
		conf_error(warnings, line_of(conf, "chain"),
			   "warning: certificate %s has no DNS names: no client can ask for it",
			   CONF_QUOTED(conf->name));
}

static void
check_names(const struct activator_conf *conf, struct tls_cert *const *all,
	    struct conf_errors *warnings)
{
	struct tls_ticket_keys keys;
	const struct tls_cert *unused;
	struct tls_state *state;
	const char *name;
	size_t i;

	memset(&keys, 0, sizeof keys);
	state = tls_state_new(all, conf->certificates_n, &keys);
	if (tls_state_clash(state, &unused, &name)) {
		for (i = 0; all[i] != unused; i++)
			;
		conf_error(warnings, conf->certificates[i].line,
			   "warning: an earlier certificate has the name %s of certificate %s",
			   CONF_QUOTED(name), CONF_QUOTED(conf->certificates[i].name));
	}
	tls_state_unref(&state);
}

static void
check_certificates(const struct activator_conf *conf, struct conf_errors *errors,
		   struct conf_errors *warnings)
{
	struct tls_cert **all = xcalloc(MAX(conf->certificates_n, (size_t)1),
					sizeof(struct tls_cert *));
	size_t i;

	for (i = 0; i < conf->certificates_n; i++)
		check_one(&conf->certificates[i], &all[i], errors, warnings);
	if (errors->n == 0 && conf->certificates_n > 0)
		check_names(conf, all, warnings);
	for (i = 0; i < conf->certificates_n; i++)
		tls_cert_unref(&all[i]);
	free(all);
}

static bool
has_line(const struct conf_errors *errors, unsigned line)
{
	size_t i;

	for (i = 0; i < errors->n && errors->v[i].line != line; i++)
		;
	return i < errors->n;
}

/* What one revision asks of its instances by TLS.  Several may inherit the same line. */
static void
check_upstream(const struct revision_conf *r, struct conf_errors *errors)
{
	const char *key;
	struct tls_trust *trust;
	unsigned line;
	struct err e;

	if (!r->limits.upstream_tls)
		return;
	trust = tls_trust_load(&r->limits, &key, &e);
	if (trust == NULL) {
		line = settings_origins_line(&r->origins, key, r->line);
		if (!has_line(errors, line))
			conf_error(errors, line, "%s: %s", key, e.text);
	}
	tls_trust_unref(&trust);
}

static void
check_use(const struct activator_conf *conf, struct conf_errors *warnings)
{
	size_t i;

	for (i = 0; i < conf->listeners_n && !conf->listeners[i].is_tls; i++)
		;
	if (conf->certificates_n > 0 && i == conf->listeners_n)
		conf_error(warnings, conf->certificates[0].line,
			   "warning: certificate %s is not used: no address in listen has the word "
			   "tls",
			   CONF_QUOTED(conf->certificates[0].name));
}

int
certificates_check(const struct settings *s, struct settings_errors *errors,
		   struct settings_errors *warnings)
{
	struct conf_errors found = {.file = s->file}, doubtful = {.file = s->file};
	const char *key;
	struct err e;
	size_t i, k;

	if (tls_check(&s->activator, &key, &e) < 0)
		conf_error(&found, settings_origins_line(&s->origins, key, 0), "%s: %s", key,
			   e.text);
	check_certificates(&s->activator, &found, &doubtful);
	if (found.n == 0)
		check_use(&s->activator, &doubtful);
	for (i = 0; i < s->services_n; i++)
		for (k = 0; k < s->services[i].revisions_n; k++)
			check_upstream(&s->services[i].revisions[k], &found);
	conf_errors_move(&found, errors);
	conf_errors_move(&doubtful, warnings);
	return errors->n > 0 ? -1 : 0;
}

/* --- starting and ending --- */

static int
load_all(struct certificates *c, struct err *e)
{
	const char *key, *file = c->settings->file;
	unsigned line;
	size_t i;

	if (tls_check(c->conf, &key, e) < 0)
		return err_prefix(e, "%s:%u: %s", file,
				  settings_origins_line(&c->settings->origins, key, 0), key);
	for (i = 0; i < c->n; i++)
		if (load(&c->pairs[i], &line, e) < 0)
			return err_prefix(e, "%s:%u", file, line);
	return 0;
}

static int
make_keys(struct certificates *c, const struct certificates *before, struct err *e)
{
	c->rotated_ns = before != NULL ? before->rotated_ns : clk_now();
	if (before != NULL)
		c->keys = before->keys;
	else if (tls_ticket_keys_rotate(&c->keys) < 0 || tls_ticket_keys_rotate(&c->keys) < 0)
		return err_set(e, 0, "cannot make a key for session tickets");
	return 0;
}

struct certificates *
certificates_new(struct loop *loop, const struct settings *s, const struct certificates *before,
		 const struct certificates_ops *ops, void *arg, struct err *e)
{
	struct certificates *c = xcalloc(1, sizeof *c);
	size_t i;

	CHECK(s->activator.certificates_n > 0);
	c->loop = loop;
	c->settings = s;
	c->conf = &s->activator;
	c->ops = ops;
	c->arg = arg;
	c->failures = certificates_failures(before);
	c->n = c->conf->certificates_n;
	c->pairs = xcalloc(c->n, sizeof *c->pairs);
	for (i = 0; i < c->n; i++)
		c->pairs[i].conf = &c->conf->certificates[i];
	loop_timer_init(&c->look_timer, loop, on_look, c);
	loop_timer_init(&c->settle_timer, loop, on_settled, c);
	loop_timer_init(&c->rotation_timer, loop, on_rotation, c);
	if (load_all(c, e) < 0 || make_keys(c, before, e) < 0)
		certificates_free(&c);
	return c;
}

void
certificates_start(struct certificates *c)
{
	struct tls_state *state = certificates_state(c);
	size_t i;

	log_clash(state);
	tls_state_unref(&state);
	for (i = 0; i < c->n; i++)
		log_expiry(&c->pairs[i]);
	loop_timer_set(&c->look_timer, tick(c));
	await_rotation(c);
}

void
certificates_free(struct certificates **cp)
{
	struct certificates *c = *cp;
	size_t i;

	*cp = NULL;
	if (c == NULL)
		return;
	loop_timer_fini(&c->look_timer);
	loop_timer_fini(&c->settle_timer);
	loop_timer_fini(&c->rotation_timer);
	for (i = 0; i < c->n; i++)
		tls_cert_unref(&c->pairs[i].cert);
	explicit_bzero(&c->keys, sizeof c->keys);
	free(c->pairs);
	free(c);
}

/* --- figures --- */

bool
certificates_next(const struct certificates *c, size_t *at, const char **name, double *days)
{
	if (c == NULL || *at >= c->n)
		return false;
	*name = c->pairs[*at].conf->name;
	*days = days_left(c->pairs[*at].cert);
	++*at;
	return true;
}

uint64_t
certificates_failures(const struct certificates *c)
{
	return c == NULL ? 0 : c->failures;
}
