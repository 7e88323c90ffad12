/* complete - what may stand at the end of a command line that is not finished: commands, options
 * and their values, services, revisions and tags.  The scripts of completion.h ask for it, so that
 * all shells complete the same. */
#ifndef AUTOSCALER_CTL_COMPLETE_H
#define AUTOSCALER_CTL_COMPLETE_H

#include "autoscaler/ctl/ctl.h"

/* words[0..n): what stands behind `activatorctl`; the last one is completed, and may be empty.
 * Write a line for each word that may stand in its place, with a tab and a description behind it or
 * without; ":files": or the path of a file; ":nospace": no blank follows.  Nothing is an error. */
void complete(char *const *words, int n);

#endif
