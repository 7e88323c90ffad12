/* versions: what commands change in a service of the store, and what is on the disk afterwards,
 * also where the process is killed or the disk is full at any of its calls. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "autoscaler/versions/change.h"
#include "autoscaler/versions/document.h"
#include "autoscaler/versions/store.h"
#include "common/log.h"
#include "common/strbuf.h"

#define HOSTS "    hosts = {\"shop.x\"}\n"
#define COMMAND(n) "        command = {\"app\", \"" n "\"}\n"

#define TO(name, n)                                                                                \
	{                                                                                          \
		.revision = (name), .percent = (n)                                                 \
	}
#define TO_LATEST(name, n, part)                                                                   \
	{                                                                                          \
		.revision = (name), .percent = (n), .latest = (part)                               \
	}

static char dir[64];

static int
setup(void **state)
{
	(void)state;
	log_open(LOG_ERROR, LOG_LOGFMT, "t_versions");
	snprintf(dir, sizeof dir, "/tmp/t_versions.XXXXXX");
	return mkdtemp(dir) == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	char command[100];

	(void)state;
	version_store_replace_calls(NULL);
	snprintf(command, sizeof command, "rm -rf %s", dir);
	return (system)(command);
}

/* --- the model --- */

static const char *
deploy(struct stored_service *s, const char *body, int percent, const char *revision,
       const char *tag)
{
	const struct model_deploy d = {.service_body = HOSTS,
				       .body = body,
				       .revision = revision,
				       .tag = tag,
				       .percent = percent,
				       .now_s = 1000};
	struct err e;
	bool is_new;
	const struct stored_revision *r = model_deploy(s, &d, &is_new, &e);

	return r == NULL ? NULL : r->name;
}

static void
assert_percents(const struct stored_service *s, const char *text)
{
	struct strbuf b;
	size_t i;

	strbuf_init(&b, 0);
	for (i = 0; i < s->n; i++)
		strbuf_addf(&b, "%s%u", i == 0 ? "" : " ", s->v[i].percent);
	assert_string_equal(strbuf_str(&b), text);
	strbuf_fini(&b);
}

static void
each_template_is_a_revision_once(void **state)
{
	struct stored_service *s = stored_service_new("shop");

	(void)state;
	assert_string_equal(deploy(s, COMMAND("1"), MODEL_ALL, NULL, NULL), "shop-00001");
	assert_percents(s, "100");
	assert_string_equal(deploy(s, COMMAND("2"), MODEL_ALL, NULL, NULL), "shop-00002");
	assert_percents(s, "0 100");
	assert_string_equal(deploy(s, COMMAND("1"), MODEL_ALL, NULL, NULL), "shop-00001");
	assert_percents(s, "100 0"); /* back to it */
	assert_string_equal(deploy(s, COMMAND("3"), 0, "three", "next"), "three");
	assert_percents(s, "100 0 0");
	assert_null(deploy(s, COMMAND("4"), 0, "three", NULL)); /* it never changes */
	assert_null(deploy(s, COMMAND("4"), 0, "latest", NULL));
	assert_null(deploy(s, COMMAND("4"), 101, NULL, NULL));
	assert_int_equal(s->n, 3);
	stored_service_free(&s);
}

static void
others_share_what_a_new_revision_leaves(void **state)
{
	struct stored_service *s = stored_service_new("shop");

	(void)state;
	assert_non_null(deploy(s, COMMAND("1"), 10, NULL, NULL));
	assert_percents(s, "100"); /* there is no other */
	assert_non_null(deploy(s, COMMAND("2"), 10, NULL, NULL));
	assert_percents(s, "90 10");
	assert_non_null(deploy(s, COMMAND("3"), 33, NULL, NULL));
	assert_percents(s, "61 6 33");
	assert_non_null(deploy(s, COMMAND("3"), 0, NULL, NULL));
	assert_percents(s, "92 8 0");
	assert_non_null(deploy(s, COMMAND("3"), 100, NULL, NULL));
	assert_percents(s, "0 0 100");
	assert_non_null(deploy(s, COMMAND("3"), 0, NULL, NULL));
	assert_percents(s, "0 0 100"); /* nothing else could have it */
	assert_non_null(deploy(s, COMMAND("4"), MODEL_KEEP, NULL, NULL));
	assert_percents(s, "0 0 100 0");
	assert_non_null(deploy(s, COMMAND("3"), MODEL_KEEP, NULL, NULL));
	assert_percents(s, "0 0 100 0");
	assert_false(stored_revision_is_active(&s->v[3]));
	s->v[3].is_tried = true;
	assert_true(stored_revision_is_active(&s->v[3]));
	stored_service_free(&s);
}

static void
traffic_and_tags(void **state)
{
	struct stored_service *s = stored_service_new("shop");
	struct err e;

	(void)state;
	assert_non_null(deploy(s, COMMAND("1"), MODEL_ALL, "one", NULL));
	assert_non_null(deploy(s, COMMAND("2"), MODEL_ALL, "two", NULL));
	assert_int_equal(
		model_set_traffic(s, (struct model_traffic[]){TO("one", 90), TO("latest", 10)}, 2,
				  &e),
		0);
	assert_percents(s, "90 10");
	assert_int_equal(model_set_traffic(s, (struct model_traffic[]){TO("one", 90)}, 1, &e), -1);
	assert_non_null(strstr(e.text, "sum to 90"));
	assert_int_equal(
		model_set_traffic(s, (struct model_traffic[]){TO("one", 90), TO("no", 10)}, 2, &e),
		-1);
	assert_percents(s, "90 10");
	assert_int_equal(model_set_tag(s, "one", "blue", &e), 0);
	assert_int_equal(model_set_tag(s, "two", "blue", &e), 0);
	assert_null(s->v[0].tag);
	assert_int_equal(model_delete_revision(s, "two", &e), -1);
	assert_int_equal(model_set_traffic(s, (struct model_traffic[]){TO("one", 100)}, 1, &e), 0);
	assert_int_equal(model_delete_revision(s, "two", &e), -1); /* it has a tag */
	assert_int_equal(model_set_tag(s, NULL, "blue", &e), 0);
	assert_int_equal(model_set_tag(s, NULL, "blue", &e), -1);
	assert_int_equal(model_delete_revision(s, "two", &e), 0);
	assert_percents(s, "100");
	stored_service_free(&s);
}

static void
what_latest_has_moves_on(void **state)
{
	struct stored_service *s = stored_service_new("shop");
	struct err e;

	(void)state;
	assert_non_null(deploy(s, COMMAND("1"), MODEL_ALL, "one", NULL));
	assert_non_null(deploy(s, COMMAND("2"), MODEL_ALL, "two", NULL));
	assert_int_equal(model_set_traffic(s,
					   (struct model_traffic[]){
						   TO("one", 70), TO("@latest", 10), TO("two", 20)},
					   3, &e),
			 0);
	assert_percents(s, "70 30");
	assert_int_equal(s->v[1].latest, 10);
	assert_non_null(deploy(s, COMMAND("3"), MODEL_KEEP, "three", NULL)); /* it is tried first */
	assert_percents(s, "70 30 0");
	assert_string_equal(stored_service_find(s, "latest")->name, "two");
	assert_non_null(deploy(s, COMMAND("3"), MODEL_ALL, "three", NULL));
	assert_percents(s, "70 20 10");
	assert_int_equal(s->v[2].latest, 10);
	assert_non_null(deploy(s, COMMAND("1"), MODEL_ALL, NULL, NULL)); /* back to it */
	assert_percents(s, "80 20 0");
	assert_int_equal(s->v[0].latest, 10);
	/* A percent that is named ends it. */
	assert_non_null(deploy(s, COMMAND("4"), 50, NULL, NULL));
	assert_percents(s, "40 10 0 50");
	assert_non_null(deploy(s, COMMAND("5"), MODEL_ALL, NULL, NULL));
	assert_percents(s, "0 0 0 0 100");
	assert_int_equal(
		model_set_traffic(s,
				  (struct model_traffic[]){TO_LATEST("one", 10, 11), TO("two", 90)},
				  2, &e),
		-1);
	assert_int_equal(model_set_traffic(s,
					   (struct model_traffic[]){TO_LATEST("one", 10, 5),
								    TO_LATEST("two", 90, 1)},
					   2, &e),
			 -1);
	assert_percents(s, "0 0 0 0 100");
	assert_int_equal(
		model_set_traffic(s,
				  (struct model_traffic[]){TO("one", 10), TO_LATEST("two", 90, 40)},
				  2, &e),
		0);
	assert_non_null(deploy(s, COMMAND("6"), MODEL_ALL, NULL, NULL));
	assert_percents(s, "10 50 0 0 0 40");
	stored_service_free(&s);
}

/* n revisions, of which all but the last one are not active; the third has a tag.  The i-th was
 * made at 1000 and was active until 1000 + i. */
static struct stored_service *
many(int n)
{
	struct stored_service *s = stored_service_new("shop");
	char body[40];
	int i;

	for (i = 0; i < n; i++) {
		snprintf(body, sizeof body, "body %d\n", i);
		assert_non_null(deploy(s, body, MODEL_ALL, NULL, i == 2 ? "old" : NULL));
		model_note_activity(s, 1000 + i);
	}
	return s;
}

static void
old_revisions_are_collected_but_none_that_is_active(void **state)
{
	const struct model_retention r = {100, 50, 5, 30};
	struct stored_service *s = many(20);

	(void)state;
	assert_int_equal(s->v[0].inactive_s, 1001);
	assert_int_equal(model_collect(s, &r, 1100), 0);	  /* all are young */
	assert_int_equal(model_collect(s, &r, 1101), 20 - 2 - 5); /* all are old */
	assert_int_equal(s->n, 7);
	assert_string_equal(s->v[0].tag, "old");
	assert_percents(s, "0 0 0 0 0 0 100");
	stored_service_free(&s);
	s = many(20);
	assert_int_equal(model_collect(s, &(struct model_retention){10, 50, 5, 30}, 1055), 4);
	assert_string_equal(s->v[0].name, "shop-00003"); /* its tag */
	assert_string_equal(s->v[1].name, "shop-00006"); /* active until 1006 */
	assert_int_equal(model_collect(s, &(struct model_retention){10, 0, 5, 30}, 1055), 9);
	stored_service_free(&s);
	s = many(20);
	assert_int_equal(model_collect(s, &(struct model_retention){0, 0, 0, 30}, INT32_MAX), 0);
	assert_int_equal(model_collect(s, &(struct model_retention){100, 50, 4, 10}, 1001), 8);
	assert_string_equal(s->v[1].name, "shop-00010"); /* the oldest have gone */
	assert_int_equal(model_collect(s, &(struct model_retention){0, 0, 0, 0}, 1001), 10);
	assert_int_equal(s->n, 2);
	assert_non_null(deploy(s, "body\n", 0, NULL, NULL));
	model_note_activity(s, 2000);
	assert_int_equal(model_collect(s, &(struct model_retention){0, 0, 0, 0}, 3000), 0);
	assert_int_equal(s->n, 3); /* the newest one may get traffic yet */
	stored_service_free(&s);
	s = many(20);
	s->v[1].is_deployed = true; /* it may, too */
	assert_int_equal(model_collect(s, &(struct model_retention){0, 0, 0, 0}, 1001), 17);
	assert_string_equal(s->v[0].name, "shop-00002");
	assert_int_equal(model_collect(s, &(struct model_retention){0, 0, 0, 0}, 1001), 1);
	stored_service_free(&s);
}

static void
assert_change(const struct stored_service *old, const struct stored_service *new, const char *text)
{
	struct strbuf b;

	strbuf_init(&b, 0);
	change_put(old, new, &b);
	assert_string_equal(strbuf_str(&b), text);
	strbuf_fini(&b);
}

static void
changes_are_told_in_words(void **state)
{
	struct stored_service *s = stored_service_new("shop"), *old;
	struct err e;

	(void)state;
	assert_non_null(deploy(s, COMMAND("1"), MODEL_ALL, NULL, "next"));
	assert_change(NULL, s,
		      "shop-00001 is new, shop-00001 from 0% to 100%, tag next to shop-00001");
	assert_change(s, s, "");
	old = stored_service_copy(s);
	assert_non_null(deploy(s, COMMAND("2"), 10, NULL, "next"));
	assert_change(old, s,
		      "shop-00002 is new, shop-00001 from 100% to 90%, shop-00002 from 0% to "
		      "10%, tag next to shop-00002");
	assert_change(s, old,
		      "shop-00002 is removed, shop-00001 from 90% to 100%, tag next to "
		      "shop-00001");
	assert_int_equal(model_set_tag(s, NULL, "next", &e), 0);
	free(s->body);
	s->body = xstrdup("other");
	assert_change(old, s,
		      "shop-00002 is new, shop-00001 from 100% to 90%, shop-00002 from 0% to "
		      "10%, tag next is removed, keys of the service");
	stored_service_free(&old);
	stored_service_free(&s);
}

/* --- the store --- */

/* All of it as text. */
static char *
contents(void)
{
	struct err e = {0};
	struct version_store *store = version_store_open(dir, &e);
	struct strbuf b;
	size_t i;

	assert_non_null(store);
	strbuf_init(&b, 0);
	for (i = 0; i < version_store_n(store); i++) {
		document_put_service(version_store_at(store, i), &b);
		document_put_conf(version_store_at(store, i), false, &b);
	}
	version_store_close(&store);
	return strbuf_take(&b);
}

/* The commands of a test, by number; each opens the store anew. */
static int
command(int which)
{
	struct err e = {0};
	struct version_store *store = version_store_open(dir, &e);
	const struct stored_service *old;
	struct stored_service *s;
	int rc = -1;

	if (store == NULL)
		return -1;
	old = version_store_find(store, "shop");
	s = old == NULL ? stored_service_new("shop") : stored_service_copy(old);
	if (which == 4) {
		rc = version_store_remove(store, "shop", &e);
		stored_service_free(&s);
	} else {
		if (which == 0 || which == 1)
			assert_non_null(deploy(s, which == 0 ? COMMAND("1") : COMMAND("2"), 10,
					       NULL, "next"));
		else if (which == 2)
			assert_int_equal(
				model_set_traffic(s, (struct model_traffic[]){TO("latest", 100)}, 1,
						  &e),
				0);
		else
			assert_int_equal(model_delete_revision(s, "shop-00001", &e), 0);
		model_note_activity(s, 5000);
		rc = version_store_put(store, &s, &e);
	}
	version_store_close(&store);
	return rc;
}
#define COMMANDS 5

static void
what_is_written_is_read_again(void **state)
{
	char *before;
	struct stat st;
	char path[100];

	(void)state;
	assert_string_equal(before = contents(), "");
	free(before);
	assert_int_equal(command(0), 0);
	assert_int_equal(command(1), 0);
	before = contents();
	assert_non_null(strstr(before, "generation=2 next=3"));
	assert_non_null(strstr(before, "traffic \"shop-00002\" { percent = 10 tag = \"next\" }"));
	assert_non_null(strstr(before, "command = {\"app\", \"2\"}"));
	free(before);
	assert_int_equal(command(2), 0);
	before = contents();
	assert_non_null(strstr(before, "traffic \"shop-00002\" { percent = 100 latest = 100 tag"));
	assert_non_null(strstr(before, "\n# activatorctl: inactive_since=5000 shop-00001\n"));
	free(before);
	snprintf(path, sizeof path, "%s/services", dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(command(4), 0);
	assert_string_equal(before = contents(), "");
	free(before);
	assert_int_equal(command(4), -1);
}

static void
the_second_of_two_commands_hears_who_was_faster(void **state)
{
	struct err e = {0};
	struct version_store *store;
	struct stored_service *a, *b;

	(void)state;
	assert_int_equal(command(0), 0);
	store = version_store_open(dir, &e);
	a = stored_service_copy(version_store_find(store, "shop"));
	b = stored_service_copy(version_store_find(store, "shop"));
	assert_int_equal(version_store_put(store, &a, &e), 0);
	assert_int_equal(version_store_put(store, &b, &e), -1);
	assert_int_equal(e.code, EAGAIN);
	assert_non_null(strstr(e.text, "meanwhile"));
	version_store_close(&store);
}

static void
write_file(const char *name, const char *text)
{
	char path[200];
	FILE *f;

	snprintf(path, sizeof path, "%s/services/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static bool
is_there(const char *name)
{
	char path[200];

	snprintf(path, sizeof path, "%s/services/%s", dir, name);
	return access(path, F_OK) == 0;
}

static void
a_broken_document_is_set_aside_alone(void **state)
{
	char *text;

	(void)state;
	assert_int_equal(command(0), 0);
	log_open(LOG_ERROR + 1, LOG_LOGFMT, "t_versions");
	write_file("other.conf", "# activatorctl: generation=1 next=2\nservice \"other\" { hosts");
	write_file("other@other-00001.conf", "");
	write_file("gone@gone-00001.conf", "# activatorctl: created=1\n");
	write_file("shop@shop-00007.conf", "# activatorctl: created=1\n");
	write_file("shop.conf.new", "half");
	write_file("nul.conf", "");
	text = contents();
	assert_non_null(strstr(text, "service \"shop\""));
	assert_null(strstr(text, "other"));
	free(text);
	assert_true(is_there("other.conf.broken"));
	assert_true(is_there("other@other-00001.conf")); /* it may be mended with its service */
	assert_false(is_there("gone@gone-00001.conf"));
	assert_false(is_there("shop@shop-00007.conf"));
	assert_false(is_there("shop.conf.new"));
	assert_true(is_there("shop@shop-00001.conf"));
}

/* --- killed, and a full disk --- */

static int calls_left; /* before the process is killed, or the disk is full */
static bool is_full;   /* a full disk: the call fails; else the process ends */
static bool was_hit;

static bool
hit(void)
{
	if (calls_left-- != 0)
		return false;
	was_hit = true;
	if (!is_full)
		_exit(9);
	errno = ENOSPC;
	return true;
}

static int
on_open(const char *path, int flags, mode_t mode)
{
	return hit() ? -1 : open(path, flags, mode);
}

static ssize_t
on_write(int fd, const void *data, size_t n)
{
	if (calls_left == 0) { /* half of it arrives */
		(void)!write(fd, data, n / 2);
		hit();
		return -1;
	}
	calls_left--;
	return write(fd, data, n);
}

static int
on_sync(int fd)
{
	return hit() ? -1 : fsync(fd);
}

static int
on_rename(const char *from, const char *to)
{
	return hit() ? -1 : rename(from, to);
}

static int
on_unlink(const char *path)
{
	return hit() ? -1 : unlink(path);
}

static const struct store_calls faulty = {on_open, on_write, on_sync, on_rename, on_unlink};

/* Run a command whose call number `at` fails.  Returns whether it came so far; *rc: of the
 * command. */
static bool
fail_at(int which, int at, int *rc)
{
	pid_t pid;
	int status;

	calls_left = at;
	was_hit = false;
	if (is_full) {
		version_store_replace_calls(&faulty);
		*rc = command(which);
		version_store_replace_calls(NULL);
		return was_hit;
	}
	pid = fork();
	if (pid == 0) {
		version_store_replace_calls(&faulty);
		_exit(command(which) == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	*rc = -1;
	return WEXITSTATUS(status) == 9;
}

/* Copy the folder; back: from the copy. */
static void
keep(bool back)
{
	char text[300];

	if (back)
		snprintf(text, sizeof text, "rm -rf %s/services; cp -a %s.copy %s/services", dir,
			 dir, dir);
	else
		snprintf(text, sizeof text, "rm -rf %s.copy; cp -a %s/services %s.copy", dir, dir,
			 dir);
	assert_int_equal((system)(text), 0);
}

static void
each_command_at_each_call(void)
{
	char *before, *after, *now, folder[100];
	int which, at, rc;

	snprintf(folder, sizeof folder, "%s/services", dir);
	assert_int_equal(mkdir(folder, 0700), 0);
	for (which = 0; which < COMMANDS; which++) {
		before = contents();
		keep(false);
		assert_int_equal(command(which), 0);
		after = contents();
		for (at = 0;; at++) {
			keep(true);
			if (!fail_at(which, at, &rc))
				break;
			now = contents();
			if (strcmp(now, before) != 0 && strcmp(now, after) != 0)
				fail_msg("command %d, call %d: neither before nor after: %s", which,
					 at, now);
			if (is_full) /* it says what is so */
				assert_string_equal(now, rc == 0 ? after : before);
			free(now);
		}
		assert_true(at > 0);
		assert_string_equal(now = contents(), after);
		free(now);
		free(before);
		free(after);
	}
	keep(false);
	snprintf(folder, sizeof folder, "rm -rf %s.copy", dir);
	assert_int_equal((system)(folder), 0);
}

static void
killed_at_any_call_it_is_before_or_after(void **state)
{
	(void)state;
	is_full = false;
	each_command_at_each_call();
}

static void
with_a_full_disk_at_any_call_it_is_before_or_after(void **state)
{
	(void)state;
	is_full = true;
	log_open(LOG_ERROR + 1, LOG_LOGFMT, "t_versions");
	each_command_at_each_call();
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(each_template_is_a_revision_once),
		T(others_share_what_a_new_revision_leaves),
		T(traffic_and_tags),
		T(what_latest_has_moves_on),
		T(changes_are_told_in_words),
		T(old_revisions_are_collected_but_none_that_is_active),
		T(what_is_written_is_read_again),
		T(the_second_of_two_commands_hears_who_was_faster),
		T(a_broken_document_is_set_aside_alone),
		T(killed_at_any_call_it_is_before_or_after),
		T(with_a_full_disk_at_any_call_it_is_before_or_after),
	};

	return cmocka_run_group_tests_name("versions", tests, NULL, NULL);
}
