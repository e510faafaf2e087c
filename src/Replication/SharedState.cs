namespace KvStore.Replication;

/// <summary>What the loops of a node share. Each part says who writes it; whatever is not here belongs to one loop, or to one of its replicas.</summary>
internal sealed record SharedState(
    StoreNodeOptions Options,
    NodeClock Clock,
    CurrentRouting Routing,
    PeerLevels Peers,
    Fitness Fitness,
    NodeRoom Room,
    FolderMarks Folder,
    NodeEvents Events);
