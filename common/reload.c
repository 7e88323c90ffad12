#include "common/reload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/clk.h"
#include "common/conf_watch.h"
#include "common/file.h"
#include "common/jput.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/settings.h"
#include "common/text.h"

#define FILE_MOST ((size_t)64 << 20) /* more than the conf file may have */
#define RETRY CLK_S		     /* while there can be no reload */

/* What a file is, and a digest of its bytes. */
struct state {
	bool is_there;
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime, ctime;
	uint64_t digest;
};

struct reload {
	struct loop *loop;
	unsigned section;
	const struct reload_ops *ops;
	void *arg;
	struct audit *audit; /* borrowed; NULL: none */
	uint64_t done, failed;
	int64_t read_ns;
	struct state seen; /* of the file, when it was last looked at */
	uint64_t refused;  /* the digest that the last reload has refused; 0: it took effect */
	struct conf_watch *watch; /* NULL: changes are not noticed */
	struct loop_timer retry;  /* set: a change was noticed while there could be no reload */
};

/* --- the file --- */

static struct state
look(const char *file)
{
	struct state s;
	struct stat st;

	memset(&s, 0, sizeof s);
	if (stat(file, &st) < 0)
		return s;
	s.is_there = true;
	s.dev = st.st_dev;
	s.ino = st.st_ino;
	s.size = st.st_size;
	s.mtime = st.st_mtim;
	s.ctime = st.st_ctim;
	return s;
}

static bool
is_touched(const struct state *a, const struct state *b)
{
	return a->is_there != b->is_there || a->dev != b->dev || a->ino != b->ino ||
	       a->size != b->size || a->mtime.tv_sec != b->mtime.tv_sec ||
	       a->mtime.tv_nsec != b->mtime.tv_nsec || a->ctime.tv_sec != b->ctime.tv_sec ||
	       a->ctime.tv_nsec != b->ctime.tv_nsec;
}

/* Its bytes, with their digest in *s; NULL with err. */
static char *
read_file(const char *file, struct state *s, size_t *n, struct err *e)
{
	char *bytes;

	*s = look(file); /* before: a later change shows the next time */
	bytes = file_read(file, FILE_MOST, n, e);
	if (bytes == NULL)
		s->is_there = false;
	else
		s->digest = file_digest(bytes, *n);
	return bytes;
}

static const char *
file_of(const struct reload *r)
{
	return r->ops->current(r->arg)->file;
}

/* Look at the file again.  It is read only if it was touched. */
static void
look_again(struct reload *r)
{
	struct state now = look(file_of(r));
	struct err e;
	size_t n;

	if (is_touched(&now, &r->seen))
		free(read_file(file_of(r), &r->seen, &n, &e));
}

static bool
is_other(const struct reload *r)
{
	return !r->seen.is_there || r->seen.digest != r->ops->current(r->arg)->digest;
}

/* --- reloading --- */

#define DIGEST_TEXT 24

static const char *
digest_text(uint64_t digest, char out[DIGEST_TEXT])
{
	snprintf(out, DIGEST_TEXT, "fnv1a:%016llx", (unsigned long long)digest);
	return out;
}

/* The file has been read, and is about to be checked and adopted. */
static void
begin_entry(struct reload *r, const struct audit_by *by, struct audit_entry *entry)
{
	const struct settings *current = r->ops->current(r->arg);
	char from[DIGEST_TEXT], to[DIGEST_TEXT];
	const struct audit_change c = {
		.subject = {.kind = AUDIT_CONF, .object = current->file},
		.by = *by,
		.from = AUDIT_TEXT(digest_text(current->digest, from)),
		.to = AUDIT_TEXT(r->seen.is_there ? digest_text(r->seen.digest, to) : NULL)};

	audit_intent(r->audit, entry, &c);
	audit_settle(r->audit);
}

static void
end_entry(struct reload *r, struct audit_entry *entry, const struct settings_errors *errors)
{
	const struct settings *current = r->ops->current(r->arg);
	char now[DIGEST_TEXT];

	entry->subject.object = current->file;
	audit_outcome(r->audit, entry, errors->n == 0 ? AUDIT_DONE : AUDIT_FAILED,
		      errors->n == 0 ? NULL : errors->lines[0],
		      AUDIT_TEXT(digest_text(current->digest, now)));
}

void
reload_set_audit(struct reload *r, struct audit *audit)
{
	r->audit = audit;
}

void
reload_end_left(const struct reload *r, const struct audit_left *left)
{
	const struct settings *current = r->ops->current(r->arg);
	char now[DIGEST_TEXT];

	digest_text(current->digest, now);
	if (text_equal(left->to_text, now))
		audit_end_left(r->audit, left, AUDIT_DONE, "this process has read that file",
			       AUDIT_TEXT(now));
	else
		audit_end_left(r->audit, left, AUDIT_UNKNOWN, "this process has read another file",
			       AUDIT_TEXT(now));
}

static struct settings *
load(struct reload *r, const struct audit_by *by, struct audit_entry *entry,
     struct settings_errors *errors)
{
	const char *file = file_of(r);
	struct settings *s;
	struct err e;
	size_t n;
	char *bytes = read_file(file, &r->seen, &n, &e);

	r->refused = r->seen.digest; /* until it took effect */
	begin_entry(r, by, entry);
	if (bytes == NULL)
		return settings_load(file, errors); /* which says why it cannot be read */
	s = settings_load_bytes(file, bytes, n, errors);
	free(bytes);
	return s;
}

static int
load_and_adopt(struct reload *r, const struct audit_by *by, struct settings_errors *errors)
{
	struct audit_entry entry = {.id = ""};
	const char *refusal = r->ops->refusal(r->arg);
	struct settings *s;
	int rc;

	if (refusal != NULL) {
		settings_errors_add(errors, refusal);
		return -1;
	}
	s = load(r, by, &entry, errors);
	rc = s == NULL ? -1 : settings_check_reload(r->ops->current(r->arg), s, r->section, errors);
	if (rc == 0)
		rc = r->ops->adopt(&s, errors, r->arg);
	settings_free(&s);
	end_entry(r, &entry, errors);
	return rc;
}

static void
log_failure(const struct reload *r, const char *cause, const struct settings_errors *errors)
{
	size_t i;

	for (i = 0; i < errors->n; i++)
		log_error(NULL, "cannot reload the conf file", "at=%s", errors->lines[i]);
	log_error(NULL, "conf file not reloaded, nothing changed", "file=%s cause=%s", file_of(r),
		  cause);
}

/* --- a change of the file --- */

static void
on_change(void *arg)
{
	struct reload *r = arg;

	look_again(r);
	if (!r->seen.is_there || !is_other(r) || r->seen.digest == r->refused)
		return;
	if (r->ops->refusal(r->arg) != NULL)
		loop_timer_set(&r->retry, RETRY); /* an upgrade may fail, or be over */
	else
		(void)reload_now(r, &(struct audit_by){.kind = AUDIT_BY_FILE},
				 NULL); /* it logs the outcome */
}

/* As reload_on_change says. */
static void
update_watch(struct reload *r)
{
	const struct settings *s = r->ops->current(r->arg);
	bool is_wanted = s->reload_on_change == RELOAD_YES ||
			 (s->reload_on_change == RELOAD_AUTO && conf_watch_is_mounted(s->file));
	struct err e;

	if (!is_wanted) {
		conf_watch_free(&r->watch);
		loop_timer_clear(&r->retry);
	}
	if (!is_wanted || r->watch != NULL)
		return;
	r->watch = conf_watch_new(r->loop, s->file, on_change, r, &e);
	if (r->watch == NULL)
		log_error(NULL, "changes of the conf file are not noticed", "file=%s err=%s",
			  s->file, e.text);
	else
		loop_timer_set(&r->retry, 0); /* it may have changed since it was read */
}

/* --- reloading now --- */

static void
note_success(struct reload *r, const char *cause)
{
	const struct settings *s = r->ops->current(r->arg);

	log_change((enum log_level)s->log_level, (enum log_format)s->log_format);
	r->done++;
	r->read_ns = clk_wall();
	r->refused = 0;
	update_watch(r);
	log_info(NULL, "conf file reloaded", "file=%s services=%zu cause=%s", s->file,
		 s->services_n, cause);
}

/* For the log. */
static const char *
cause_of(const struct audit_by *by)
{
	switch (by->kind) {
	case AUDIT_BY_FILE:
		return "the file has changed";
	case AUDIT_BY_COMMAND:
		return "activatorctl";
	default:
		return by->name;
	}
}

int
reload_now(struct reload *r, const struct audit_by *by, struct settings_errors *errors)
{
	struct settings_errors own = {NULL, 0};
	int rc = load_and_adopt(r, by, &own);

	CHECK((rc == 0) == (own.n == 0));
	if (rc == 0) {
		note_success(r, cause_of(by));
	} else {
		r->failed++;
		log_failure(r, cause_of(by), &own);
	}
	if (errors != NULL)
		*errors = own;
	else
		settings_errors_free(&own);
	return rc;
}

void
reload_count(struct reload *r, struct reload_counts *out)
{
	look_again(r);
	*out = (struct reload_counts){.done = r->done,
				      .failed = r->failed,
				      .read_ns = r->read_ns,
				      .is_file_other = is_other(r)};
}

void
reload_put(struct jput *j, const struct reload_counts *c)
{
	jput_object(j, "conf");
	jput_u64(j, "reloads", c->done);
	jput_u64(j, "failed_reloads", c->failed);
	jput_double(j, "read_s", (double)c->read_ns / (double)CLK_S);
	jput_bool(j, "file_differs", c->is_file_other);
	jput_object_end(j);
}

/* --- life --- */

struct reload *
reload_new(struct loop *loop, unsigned section, const struct reload_ops *ops, void *arg)
{
	struct reload *r = xcalloc(1, sizeof *r);

	r->loop = loop;
	r->section = section;
	r->ops = ops;
	r->arg = arg;
	r->read_ns = clk_wall();
	loop_timer_init(&r->retry, loop, on_change, r);
	look_again(r);
	update_watch(r);
	return r;
}

void
reload_free(struct reload **rp)
{
	struct reload *r = *rp;

	*rp = NULL;
	if (r == NULL)
		return;
	conf_watch_free(&r->watch);
	loop_timer_fini(&r->retry);
	free(r);
}
