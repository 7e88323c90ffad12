/* reading - the commands that read what was written down: logs (what instances have written), usage
 * (what services have used) and audit (what has changed). */
#ifndef AUTOSCALER_CTL_READING_H
#define AUTOSCALER_CTL_READING_H

#include "autoscaler/ctl/ctl.h"

/* As command.run. */
enum ctl_exit run_logs(const struct ctl_options *, char *const *arguments, int n);
enum ctl_exit run_audit(const struct ctl_options *, char *const *arguments, int n);
enum ctl_exit run_usage(const struct ctl_options *, char *const *arguments, int n);

/* Write the last lines of a revision to standard error, as its instances have written them since
 * that time of the wall clock. */
void logs_show_last(const struct ctl_options *, const char *revision, uint32_t lines,
		    int64_t since_ns);

#endif
