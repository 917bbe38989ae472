"""Every error that Patron raises on purpose.

PatronError
+-- UsageError            the command or its options are wrong            exit 2
|   +-- ConfigurationError   a settings, mapping or model file is wrong   exit 2
+-- DataError             the shop's data cannot be used as it is         exit 1
|   +-- LakeError            the lake lacks something or is in use        exit 1
|   +-- FeatureError         a feature or a cutoff is missing             exit 1
|   +-- EventLogError        the event log cannot be read or written      exit 1
|   +-- NoScores             nobody was scored yet, or not at that moment exit 1
+-- ArtifactError         a model file is missing, changed or unsuited    exit 1
|   +-- NoChampion           nothing was promoted yet                     exit 1

A gate that says no is no error: `patron train` ends with exit code 3, and the run says why.

A message says what was wrong, what was found and what to do. It never holds a customer id or a secret.
"""

from __future__ import annotations


class PatronError(Exception):
    """The root. `exit_code` is what the command line ends with, `code` what JSON answers carry."""

    exit_code = 1
    code = "error"


class UsageError(PatronError):
    exit_code = 2
    code = "usage"


class ConfigurationError(UsageError):
    code = "configuration"


class DataError(PatronError):
    code = "data"


class LakeError(DataError):
    code = "lake"


class FeatureError(DataError):
    code = "features"


class EventLogError(DataError):
    code = "events"


class NoScores(DataError):
    code = "no_scores"


class ArtifactError(PatronError):
    code = "artifact"


class NoChampion(ArtifactError):
    code = "no_champion"
