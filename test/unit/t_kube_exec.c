/* kube_exec, with a shell as the plug-in: what it gets, when it is run again, and that it cannot
 * hang. */
#include "test/unit/unit.h"

#include <signal.h>
#include <unistd.h>

#include "autoscaler/kube/kube_config.h"
#include "autoscaler/kube/kube_exec.h"
#include "autoscaler/kube/kube_json.h"
#include "common/clk.h"
#include "common/loop.h"

#define PATIENCE (60 * CLK_S)
#define API_VERSION "client.authentication.k8s.io/v1"
#define PRINT(status)                                                                              \
	"echo '{\"kind\":\"ExecCredential\",\"apiVersion\":\"" API_VERSION                         \
	"\",\"status\":{'" status "'}}'"
/* Another token each time: the number of runs, kept as the size of a file. */
#define COUNTED "printf x >> $0; " PRINT("'\"token\":\"t'$(wc -c < $0)'\"'")

struct world {
	struct loop *loop;
	struct kube_exec_conf conf;
	struct kube_exec *exec;
	char file[64]; /* $0 of the script */
	unsigned changes;
};

static void
on_change(void *arg)
{
	((struct world *)arg)->changes++;
}

static int
setup(void **state)
{
	struct world *w = xcalloc(1, sizeof *w);

	w->loop = loop_new(NULL);
	snprintf(w->file, sizeof w->file, "/tmp/t_kube_exec.XXXXXX");
	close(mkstemp(w->file));
	w->conf = (struct kube_exec_conf){.api_version = (char *)(uintptr_t)API_VERSION,
					  .command = (char *)(uintptr_t) "sh",
					  .info = (char *)(uintptr_t) "{}"};
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	kube_exec_close(&w->exec);
	str_list_fini(&w->conf.argv);
	str_list_fini(&w->conf.env);
	loop_free(&w->loop);
	unlink(w->file);
	free(w);
	return 0;
}

static void
begin(struct world *w, const char *script, int64_t timeout)
{
	char *argv[] = {w->conf.command, (char *)(uintptr_t) "-c", (char *)(uintptr_t)script,
			w->file};

	str_list_set(&w->conf.argv, argv, ARRAY_LEN(argv));
	w->exec = kube_exec_open(w->loop, &w->conf, timeout, on_change, w);
	assert_null(kube_exec_get(w->exec));
}

/* Until n runs have ended. */
static void
await_runs(struct world *w, unsigned n)
{
	while (w->changes < n)
		loop_once(w->loop, true);
}

static void
a_token_is_kept_until_it_is_refused(void **state)
{
	struct world *w = *state;

	begin(w, COUNTED, PATIENCE);
	await_runs(w, 1);
	assert_string_equal(kube_exec_get(w->exec)->token, "t1");
	assert_int_equal(kube_exec_number(w->exec), 1);
	kube_exec_refused(w->exec, 0); /* of an earlier one */
	assert_non_null(kube_exec_get(w->exec));
	kube_exec_refused(w->exec, 1);
	assert_null(kube_exec_get(w->exec));
	kube_exec_refused(w->exec, 1); /* another request with the same one */
	await_runs(w, 2);
	assert_string_equal(kube_exec_get(w->exec)->token, "t2");
}

static void
a_client_certificate_and_the_environment(void **state)
{
	static char *env[] = {(char *)(uintptr_t) "T_KUBE_EXEC=new", (char *)(uintptr_t) "OTHER=b"};
	struct world *w = *state;
	const struct kube_credential *c;

	assert_int_equal(setenv("T_KUBE_EXEC", "old", 1), 0);
	str_list_set(&w->conf.env, env, ARRAY_LEN(env));
	begin(w,
	      PRINT("'\"clientCertificateData\":\"'$T_KUBE_EXEC$OTHER'\",\"clientKeyData\":\"'"
		    "$KUBERNETES_EXEC_INFO'\"'"),
	      PATIENCE);
	await_runs(w, 1);
	c = kube_exec_get(w->exec);
	assert_non_null(c);
	assert_string_equal(c->cert, "newb");
	assert_string_equal(c->key, "{}");
	assert_null(c->token);
}

/* It expires in a moment: the next run comes before that, and by itself. */
static void
it_is_run_again_before_the_credential_expires(void **state)
{
	struct world *w = *state;

	begin(w,
	      "printf x >> $0; e=$(date -u -d '+2 seconds' +%Y-%m-%dT%H:%M:%SZ); " PRINT(
		      "'\"token\":\"t'$(wc -c < $0)'\",\"expirationTimestamp\":\"'$e'\"'"),
	      PATIENCE);
	while (kube_exec_number(w->exec) < 2)
		loop_once(w->loop, true);
}

static void
failures_are_tried_again(void **state)
{
	struct world *w = *state;

	begin(w,
	      "printf x >> $0; test $(wc -c < $0) -gt 1 || { echo no >&2; exit 7; }; " PRINT(
		      "'\"token\":\"a\"'"),
	      PATIENCE);
	await_runs(w, 1);
	assert_null(kube_exec_get(w->exec));
	await_runs(w, 2);
	assert_string_equal(kube_exec_get(w->exec)->token, "a");
}

static void
what_cannot_be_used_is_a_failure(void **state)
{
	static const char *const scripts[] = {
		"echo no",
		"true",
		"kill -9 $$",
		PRINT("'\"token\":\"a\",\"expirationTimestamp\":\"2001-01-01T00:00:00Z\"'"),
		"yes",
	};
	struct world *w = *state;
	size_t i;

	for (i = 0; i < ARRAY_LEN(scripts); i++) {
		w->changes = 0;
		begin(w, scripts[i], PATIENCE);
		await_runs(w, 1);
		assert_null(kube_exec_get(w->exec));
		kube_exec_close(&w->exec);
	}
}

/* A program that is not there is no run. */
static void
a_missing_program(void **state)
{
	struct world *w = *state;

	w->conf.command = (char *)(uintptr_t) "/nowhere/plugin";
	begin(w, "", PATIENCE);
	assert_null(kube_exec_get(w->exec));
}

static bool
runs(long pid)
{
	char path[64], byte;
	FILE *f;
	size_t n;

	snprintf(path, sizeof path, "/proc/%ld/cmdline", pid);
	f = fopen(path, "r");
	if (f == NULL)
		return false;
	n = fread(&byte, 1, 1, f);
	fclose(f);
	return n == 1;
}

/* It and its child, which has the pipe open, are ended; the loop turns meanwhile. */
static void
a_plugin_that_hangs_is_ended(void **state)
{
	struct world *w = *state;
	long pid = 0;
	FILE *f;

	begin(w, "sleep 1000 & echo $! > $0; wait", 100 * CLK_MS);
	await_runs(w, 1);
	assert_null(kube_exec_get(w->exec));
	/* The child is gone, or a zombie of process 1, once /proc shows no command line. */
	f = fopen(w->file, "r");
	assert_non_null(f);
	if (fscanf(f, "%ld", &pid) == 1) /* else it was ended before it had a child */
		while (runs(pid))
			;
	fclose(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_token_is_kept_until_it_is_refused, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_client_certificate_and_the_environment, setup,
						teardown),
		cmocka_unit_test_setup_teardown(it_is_run_again_before_the_credential_expires,
						setup, teardown),
		cmocka_unit_test_setup_teardown(failures_are_tried_again, setup, teardown),
		cmocka_unit_test_setup_teardown(what_cannot_be_used_is_a_failure, setup, teardown),
		cmocka_unit_test_setup_teardown(a_missing_program, setup, teardown),
		cmocka_unit_test_setup_teardown(a_plugin_that_hangs_is_ended, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
