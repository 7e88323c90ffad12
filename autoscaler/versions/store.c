#include "autoscaler/versions/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "autoscaler/versions/document.h"
#include "common/file.h"
#include "common/log.h"
#include "common/strbuf.h"

#define FOLDER "services"
#define SUFFIX ".conf"
#define SUFFIX_NEW ".new"
#define SUFFIX_BROKEN ".broken"
#define DOCUMENT_MOST ((size_t)1 << 20)

struct version_store {
	char *dir;
	struct stored_service **v;
	size_t n;
};

static int
open_file(const char *path, int flags, mode_t mode)
{
	return open(path, flags, mode);
}

static const struct store_calls system_calls = {
	.open = open_file, .write = write, .sync = fsync, .rename = rename, .unlink = unlink};
static const struct store_calls *calls = &system_calls; /* replaced by tests alone */

void
version_store_replace_calls(const struct store_calls *c)
{
	calls = c == NULL ? &system_calls : c;
}

/* --- files --- */

/* revision NULL: the service's own. */
static char *
path_of(const struct version_store *s, const char *service, const char *revision)
{
	return xasprintf("%s/%s%s%s%s", s->dir, service, revision == NULL ? "" : "@",
			 revision == NULL ? "" : revision, SUFFIX);
}

static int
write_all(int fd, const char *data, size_t n)
{
	ssize_t put;

	while (n > 0) {
		put = calls->write(fd, data, n);
		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return -1;
		data += put;
		n -= (size_t)put;
	}
	return 0;
}

static int
write_synced(const char *path, const struct strbuf *text)
{
	int fd = calls->open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	int rc, code;

	if (fd < 0)
		return -1;
	rc = write_all(fd, text->data, text->len) < 0 || calls->sync(fd) < 0 ? -1 : 0;
	code = errno;
	close(fd);
	errno = code;
	return rc;
}

/* What was renamed is in effect, whatever comes of this: the next start may find it or not. */
static void
sync_folder(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || calls->sync(fd) < 0)
		log_warn(NULL, "cannot sync the folder of the services", "path=%s err=%s", dir,
			 strerror(errno));
	if (fd >= 0)
		close(fd);
}

/* Write a document whole or not at all. */
static int
write_document(const struct version_store *s, const char *path, const struct strbuf *text,
	       struct err *e)
{
	char *new = xasprintf("%s%s", path, SUFFIX_NEW);
	int rc = 0;

	if (write_synced(new, text) < 0 || calls->rename(new, path) < 0) {
		rc = err_errno(e, "cannot write %s", path);
		(void)calls->unlink(new); /* else the next start removes it */
	} else {
		sync_folder(s->dir);
	}
	free(new);
	return rc;
}

static void
remove_file(const char *path, const char *what)
{
	if (calls->unlink(path) < 0 && errno != ENOENT)
		log_warn(NULL, "cannot remove a file of the services", "file=%s what=%s err=%s",
			 path, what, strerror(errno));
}

static void
remove_revision(const struct version_store *s, const char *service, const char *revision)
{
	char *path = path_of(s, service, revision);

	remove_file(path, "revision");
	free(path);
}

static void
set_aside(const char *path, const struct err *why)
{
	char *to = xasprintf("%s%s", path, SUFFIX_BROKEN);

	log_error(NULL, "a stored service is broken and set aside", "file=%s err=%s", to,
		  why->text);
	if (calls->rename(path, to) < 0)
		log_warn(NULL, "cannot set a file aside", "file=%s err=%s", path, strerror(errno));
	free(to);
}

/* --- reading the folder --- */

static bool
ends_with(const char *name, const char *suffix)
{
	size_t n = strlen(name), k = strlen(suffix);

	return n > k && strcmp(name + n - k, suffix) == 0;
}

/* In the order of their names, which is the same after the next start. */
static void
add(struct version_store *s, struct stored_service *service)
{
	size_t i = s->n++;

	s->v = xrealloc(s->v, s->n * sizeof *s->v);
	for (; i > 0 && strcmp(s->v[i - 1]->name, service->name) > 0; i--)
		s->v[i] = s->v[i - 1];
	s->v[i] = service;
}

/* Read the bodies of its revisions. */
static int
read_revisions(const struct version_store *s, struct stored_service *service, struct err *e)
{
	size_t i, n;
	int rc = 0;

	for (i = 0; i < service->n && rc == 0; i++) {
		char *path = path_of(s, service->name, service->v[i].name);
		char *text = file_read(path, DOCUMENT_MOST, &n, e);

		rc = text == NULL ? -1 : document_read_revision(path, text, n, &service->v[i], e);
		free(text);
		free(path);
	}
	return rc;
}

static int
read_service(struct version_store *s, const char *path, const char *name, struct err *e)
{
	struct stored_service *service = NULL;
	size_t n;
	char *text = file_read(path, DOCUMENT_MOST, &n, e);
	int rc = text == NULL ? -1 : document_read_service(path, text, n, &service, e);

	if (rc == 0 && (strlen(name) != strlen(service->name) + sizeof SUFFIX - 1 ||
			strncmp(name, service->name, strlen(service->name)) != 0))
		rc = err_set(e, 0, "it has the service \"%s\"", service->name);
	if (rc == 0)
		rc = read_revisions(s, service, e);
	if (rc == 0)
		add(s, service);
	else
		stored_service_free(&service);
	free(text);
	return rc;
}

/* Call fn(store, path, name) for each file of the folder whose name ends so. */
static int
each_file(struct version_store *s, const char *suffix,
	  void (*fn)(struct version_store *, const char *path, const char *name), struct err *e)
{
	DIR *dir = opendir(s->dir);
	const struct dirent *entry;

	if (dir == NULL)
		return errno == ENOENT ? 0 : err_errno(e, "cannot read %s", s->dir);
	while ((entry = readdir(dir)) != NULL)
		if (ends_with(entry->d_name, suffix)) {
			char *path = xasprintf("%s/%s", s->dir, entry->d_name);

			fn(s, path, entry->d_name);
			free(path);
		}
	closedir(dir);
	return 0;
}

static void
on_service(struct version_store *s, const char *path, const char *name)
{
	struct err e = {0};

	if (strchr(name, '@') == NULL && read_service(s, path, name, &e) < 0)
		set_aside(path, &e);
}

/* A process was killed before it had renamed it. */
static void
on_new(struct version_store *s, const char *path, const char *name)
{
	(void)s;
	(void)name;
	remove_file(path, "half written");
}

/* A revision that no service names: its service was not committed, or names it no more.  That of a
 * service which is set aside stays with it. */
static void
on_revision(struct version_store *s, const char *path, const char *name)
{
	const char *at = strchr(name, '@');
	const struct stored_service *service;
	char *service_name, *revision, *broken;

	if (at == NULL)
		return;
	service_name = xstrndup(name, (size_t)(at - name));
	revision = xstrndup(at + 1, strlen(at + 1) - (sizeof SUFFIX - 1));
	broken = xasprintf("%s/%s%s%s", s->dir, service_name, SUFFIX, SUFFIX_BROKEN);
	service = version_store_find(s, service_name);
	if (service == NULL ? access(broken, F_OK) < 0
			    : stored_service_find(service, revision) == NULL)
		remove_file(path, "revision without a service");
	free(broken);
	free(revision);
	free(service_name);
}

struct version_store *
version_store_open(const char *state_dir, struct err *e)
{
	struct version_store *s = xcalloc(1, sizeof *s);

	s->dir = xasprintf("%s/%s", state_dir, FOLDER);
	if (each_file(s, SUFFIX_NEW, on_new, e) < 0 || each_file(s, SUFFIX, on_service, e) < 0 ||
	    each_file(s, SUFFIX, on_revision, e) < 0) {
		version_store_close(&s);
		return NULL;
	}
	return s;
}

void
version_store_close(struct version_store **sp)
{
	struct version_store *s = *sp;
	size_t i;

	*sp = NULL;
	if (s == NULL)
		return;
	for (i = 0; i < s->n; i++)
		stored_service_free(&s->v[i]);
	free(s->v);
	free(s->dir);
	free(s);
}

/* --- what there is --- */

size_t
version_store_n(const struct version_store *s)
{
	return s->n;
}

const struct stored_service *
version_store_at(const struct version_store *s, size_t i)
{
	CHECK(i < s->n);
	return s->v[i];
}

static size_t
index_of(const struct version_store *s, const char *name)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		if (strcmp(s->v[i]->name, name) == 0)
			return i;
	return s->n;
}

const struct stored_service *
version_store_find(const struct version_store *s, const char *name)
{
	size_t i = index_of(s, name);

	return i == s->n ? NULL : s->v[i];
}

/* --- changes --- */

static int
write_revisions(const struct version_store *s, const struct stored_service *old,
		const struct stored_service *new, struct err *e)
{
	struct strbuf text;
	int rc = 0;
	size_t i;

	strbuf_init(&text, DOCUMENT_MOST);
	for (i = 0; i < new->n &&rc == 0; i++) {
		char *path;

		if (old != NULL && stored_service_find(old, new->v[i].name) != NULL)
			continue; /* a revision never changes */
		strbuf_clear(&text);
		document_put_revision(new, &new->v[i], &text);
		path = path_of(s, new->name, new->v[i].name);
		rc = write_document(s, path, &text, e);
		free(path);
	}
	strbuf_fini(&text);
	return rc;
}

static int
commit(const struct version_store *s, const struct stored_service *new, struct err *e)
{
	char *path = path_of(s, new->name, NULL);
	struct strbuf text;
	int rc;

	strbuf_init(&text, DOCUMENT_MOST);
	document_put_service(new, &text);
	rc = write_document(s, path, &text, e);
	strbuf_fini(&text);
	free(path);
	return rc;
}

/* Remove the revisions of one that the other has not. */
static void
remove_gone(const struct version_store *s, const struct stored_service *from,
	    const struct stored_service *other)
{
	size_t i;

	for (i = 0; i < from->n; i++)
		if (other == NULL || stored_service_find(other, from->v[i].name) == NULL)
			remove_revision(s, from->name, from->v[i].name);
}

static int
check_put(const struct version_store *s, const struct stored_service *old,
	  const struct stored_service *new, struct err *e)
{
	uint64_t generation = old == NULL ? 0 : old->generation;

	if (new->generation != generation)
		return err_set(e, EAGAIN,
			       "another command has changed \"%s\" meanwhile: its generation is "
			       "%llu, not %llu",
			       new->name, (unsigned long long)generation,
			       (unsigned long long)new->generation);
	if (old == NULL && s->n >= STORE_SERVICES_MAX)
		return err_set(e, 0, "the store has %d services", STORE_SERVICES_MAX);
	if (mkdir(s->dir, 0700) < 0 && errno != EEXIST)
		return err_errno(e, "cannot make %s", s->dir);
	return 0;
}

int
version_store_put(struct version_store *s, struct stored_service **np, struct err *e)
{
	struct stored_service *new = *np;
	size_t i = index_of(s, new->name);
	struct stored_service *old = i == s->n ? NULL : s->v[i];
	int rc = check_put(s, old, new, e);

	*np = NULL;
	new->generation += rc == 0;
	if (rc == 0 && (write_revisions(s, old, new, e) < 0 || commit(s, new, e) < 0)) {
		remove_gone(s, new, old);
		rc = -1;
	}
	if (rc < 0) {
		stored_service_free(&new);
		return -1;
	}
	if (old == NULL) {
		add(s, new);
		return 0;
	}
	remove_gone(s, old, new);
	s->v[i] = new;
	stored_service_free(&old);
	return 0;
}

int
version_store_remove(struct version_store *s, const char *name, struct err *e)
{
	size_t i = index_of(s, name);
	char *path;
	int rc;

	if (i == s->n)
		return err_set(e, ENOENT, "there is no stored service \"%s\"", name);
	path = path_of(s, name, NULL);
	rc = calls->unlink(path) < 0 ? err_errno(e, "cannot remove %s", path) : 0;
	free(path);
	if (rc < 0)
		return -1;
	sync_folder(s->dir);
	remove_gone(s, s->v[i], NULL);
	stored_service_free(&s->v[i]);
	memmove(&s->v[i], &s->v[i + 1], (s->n - i - 1) * sizeof *s->v);
	s->n--;
	return 0;
}
