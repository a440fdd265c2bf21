"""Use cases of data, by subject: the catalogue, versions, agreements, use in jobs.

What other domains call is named here, so that they need not know where it stands.
"""

from haihe.data.services.agreements import (
    accept_agreement,
    accept_terms,
    agreement_for,
    end_agreement,
    find_agreement,
    list_agreements,
    possible_consumers,
    propose_agreement,
)
from haihe.data.services.catalogue import (
    create_dataset,
    find_dataset,
    find_dataset_by_id,
    list_datasets,
    possible_holders,
    publish_dataset,
    update_dataset,
)
from haihe.data.services.use import Read, UsageLog, deliver_to_job, grant_read, usage_of
from haihe.data.services.versions import (
    add_version,
    add_version_from_path,
    blob_store,
    find_version,
    find_version_by_id,
    may_read_content,
    open_content,
    preview,
    read_frame,
    versions_of,
)

__all__ = [
    "Read",
    "UsageLog",
    "accept_agreement",
    "accept_terms",
    "add_version",
    "add_version_from_path",
    "agreement_for",
    "blob_store",
    "create_dataset",
    "deliver_to_job",
    "end_agreement",
    "find_agreement",
    "find_dataset",
    "find_dataset_by_id",
    "find_version",
    "find_version_by_id",
    "grant_read",
    "list_agreements",
    "list_datasets",
    "may_read_content",
    "open_content",
    "possible_consumers",
    "possible_holders",
    "preview",
    "propose_agreement",
    "publish_dataset",
    "read_frame",
    "update_dataset",
    "usage_of",
    "versions_of",
]
