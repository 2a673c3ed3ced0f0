"""The broker's settings for one machine: loopback only, one copy of everything, little memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.servers.pulsar import credentials

ADMIN = "admin"
"""The role that may do everything: whoever sets Pulsar up, and the broker itself."""

FIXED = {
    "clusterName": "standalone",
    # Loopback only.
    "bindAddress": "127.0.0.1",
    "advertisedAddress": "127.0.0.1",
    "listeningInterface": "lo",
    "allowLoopback": "true",
    # By its name the opposite, but only with it does the storage take the port that it is given.
    "allowEphemeralPorts": "true",
    # One broker, one bookie.
    "managedLedgerDefaultEnsembleSize": "1",
    "managedLedgerDefaultWriteQuorum": "1",
    "managedLedgerDefaultAckQuorum": "1",
    "loadManagerClassName": "org.apache.pulsar.broker.loadbalance.NoopLoadManager",
    "loadBalancerEnabled": "false",
    # What was answered is on disk, and the answer does not wait for others to join the write.
    "journalSyncData": "true",
    "journalMaxGroupWaitMSec": "1",
    "managedLedgerNewEntriesCheckDelayInMillis": "0",
    # Acks are on disk within 0.1 s: little comes again after a kill.
    "managedLedgerDefaultMarkDeleteRateLimit": "10",
    "acknowledgmentAtBatchIndexLevelEnabled": "true",
    # Retries wait on the broker; a publisher's repeats are known by their ids to those who consume them.
    "delayedDeliveryEnabled": "true",
    "delayedDeliveryTickTimeMillis": "100",
    "brokerDeduplicationEnabled": "false",
    # A client that is frozen loses what it held after two of these.
    "keepAliveIntervalSeconds": "1",
    # What nobody has worked off may not fill the disk: publishers are refused, and keep their events in their outboxes.
    "backlogQuotaDefaultLimitBytes": str(2 * 2**30),
    "backlogQuotaDefaultRetentionPolicy": "producer_exception",
    "backlogQuotaCheckIntervalInSeconds": "5",
    # Topics are declared, and go with nobody's leave.
    "allowAutoTopicCreation": "false",
    "brokerDeleteInactiveTopicsEnabled": "false",
    "systemTopicEnabled": "true",
    "topicLevelPoliciesEnabled": "true",
    # Who comes without a token is refused, and who has one may do what the role was granted.
    "authenticationEnabled": "true",
    "authenticationProviders": "org.apache.pulsar.broker.authentication.AuthenticationProviderToken",
    "authorizationEnabled": "true",
    "superUserRoles": ADMIN,
    "tokenPublicAlg": "ES256",
    "brokerClientAuthenticationPlugin": "org.apache.pulsar.client.impl.auth.AuthenticationToken",
    # Small: one machine, shared with everything else.
    "managedLedgerCacheSizeMB": "32",
    "dbStorage_writeCacheMaxSizeMb": "16",
    "dbStorage_readAheadCacheMaxSizeMb": "16",
    "dbStorage_rocksDB_blockCacheSize": "8388608",
    "journalPreAllocSizeMB": "4",
    "numIOThreads": "2",
    "numOrderedExecutorThreads": "2",
    "numHttpServerThreads": "8",
    "numExecutorThreadPoolSize": "2",
    "numCacheExecutorThreadPoolSize": "2",
    "managedLedgerNumSchedulerThreads": "2",
    "bookkeeperClientNumIoThreads": "2",
    "numJournalCallbackThreads": "1",
    "numAddWorkerThreads": "1",
    "numReadWorkerThreads": "2",
    "numHighPriorityWorkerThreads": "1",
    "serverNumIOThreads": "2",
    "metadataStoreBatchingEnabled": "true",
    # The disk is the machine's; ./bazaar looks at what is left of it before a start.
    "diskUsageThreshold": "0.99",
    "diskUsageWarnThreshold": "0.98",
    "webSocketServiceEnabled": "false",
    "brokerShutdownTimeoutMs": "8000",
}


@dataclass(frozen=True)
class Ports:
    """Where it listens, on 127.0.0.1."""

    plain: int
    tls: int
    admin: int
    bookie: int
    """Of the storage, which takes the port of its first start ever after."""


def lines(ports: Ports, signing_key: str, vault: Path) -> list[str]:
    """The whole configuration file; it holds a token, and so is the owner's alone."""
    own: Mapping[str, object] = {
        "brokerServicePort": ports.plain,
        "brokerServicePortTls": ports.tls,
        "webServicePort": ports.admin,
        "tlsCertificateFilePath": vault / credentials.FILES.certificate,
        "tlsKeyFilePath": vault / credentials.FILES.key,
        "tokenPublicKey": credentials.public_key(signing_key),
        "brokerClientAuthenticationParameters": json.dumps({"token": credentials.token(signing_key, ADMIN)}),
    }
    return [f"{name}={value}" for name, value in {**FIXED, **own}.items()]
