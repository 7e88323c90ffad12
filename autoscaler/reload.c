#include "autoscaler/reload.h"

#include "common/log.h"
#include "common/settings.h"

/* The activator reads its section at its start alone. */
static void
log_pending(const struct settings *current, const struct settings *s)
{
	struct settings_errors pending = {NULL, 0};
	size_t i;

	if (settings_check_reload(current, s, IN_ACTIVATOR, &pending) < 0)
		for (i = 0; i < pending.n; i++)
			log_warn(NULL, "the section activator has changed: restart the activator",
				 "at=%s", pending.lines[i]);
	settings_errors_free(&pending);
}

struct settings *
reload_read(const char *file, const struct settings *current, struct settings_errors *errors)
{
	struct settings *s = settings_load(file, errors);
	size_t i;

	for (i = 0; i < errors->n; i++)
		log_error(NULL, "mistake in the conf file", "at=%s", errors->lines[i]);
	if (s != NULL && settings_check_reload(current, s, IN_AUTOSCALER, errors) < 0) {
		for (i = 0; i < errors->n; i++)
			log_error(NULL, "a reload cannot change this key", "at=%s",
				  errors->lines[i]);
		settings_free(&s);
	}
	if (s == NULL) {
		log_error(NULL, "conf file not reloaded, nothing changed", "file=%s", file);
		return NULL;
	}
	log_open((enum log_level)s->log_level, (enum log_format)s->log_format, "autoscaler");
	log_pending(current, s);
	return s;
}
