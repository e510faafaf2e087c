using KvStore.Protocol;
using KvStore.Raft;
using KvStore.Storage;

namespace KvStore.Replication;

/// <summary>
/// Ask for the snapshot of a group, at least up to MinIndex: from Offset of (Index, Term), or any from its start when Index is
/// 0.
/// </summary>
internal sealed class SnapshotPull(NodeId from, GroupId group, ulong minIndex, ulong index, ulong term, long offset) : SnapshotItem
{
    public NodeId From => from;
    public GroupId Group => group;
    public ulong MinIndex => minIndex;
    public ulong Index => index;
    public ulong Term => term;
    public long Offset => offset;

    /// <summary>
    /// A node that has not asked for a piece for so long is fetching no more: file and log need not be kept for it. Longer than
    /// reminders, a lost connection or the check of what was fetched take; who builds a table of it asks now and then.
    /// </summary>
    internal const int IdleLimitMs = 30_000;
}

/// <summary>A piece of a snapshot file, of TotalBytes in all; TotalBytes 0 says that the sender has none that would do.</summary>
internal sealed class SnapshotPiece(NodeId from, GroupId group, ulong index, ulong term, long offset, long totalBytes, byte[] bytes) : SnapshotItem
{
    public NodeId From => from;
    public GroupId Group => group;
    public ulong Index => index;
    public ulong Term => term;
    public long Offset => offset;
    public long TotalBytes => totalBytes;
    public byte[] Bytes => bytes;
}

/// <summary>A follower's node has asked for a piece of a snapshot of this replica's group.</summary>
internal sealed class SnapshotPulled(GroupId group, NodeId by) : LoopItem
{
    public GroupId Group => group;
    public NodeId By => by;
}

/// <summary>A replica needs a snapshot up to MinIndex at least, and believes Source has one. Repeated until the replica has it.</summary>
internal sealed class SnapshotFetch(ReplicaAddress address, Inbox<LoopItem> loop, string directory, ulong minIndex, NodeId source) : SnapshotItem
{
    public ReplicaAddress Address => address;
    public Inbox<LoopItem> Loop => loop;
    public string Directory => directory;
    public ulong MinIndex => minIndex;
    public NodeId Source => source;
}

/// <summary>The newest snapshot of a group cannot be read any more: posted to its loop, which has another one taken.</summary>
internal sealed class SnapshotDamaged(GroupId group) : LoopItem
{
    public GroupId Group => group;
}

/// <summary>The replica of this group has no more use for the snapshot it asked for.</summary>
internal sealed class SnapshotNotWanted(GroupId group) : SnapshotItem
{
    public GroupId Group => group;
}

/// <summary>
/// Snapshots between nodes. The receiver pulls one piece after the other into a temporary file, so a slow receiver slows only
/// itself; a lost piece is asked for again from where the file ends. The source keeps the file until nobody has asked for a
/// piece of it for <see cref="SnapshotPull.IdleLimitMs"/>, however many newer ones it takes: a large one would never arrive otherwise. (A source
/// that has lost it gives its newest, and the fetch starts over.) A whole file is checked, header, footer and every block, before it gets its name.
/// One that does not pass is reported, and asked for again after a pause that grows. Whoever gave it is asked for the start of a file that it has
/// given to its end: it checks its own, gives nobody a piece meanwhile, and has another one taken when the damage is its own.
/// </summary>
internal sealed class SnapshotTransfer(
    IFileSystem files, SharedState node, ITransport transport, ReplicaDirectory replicas, IReadOnlyList<LoopFront> loops) : IDisposable
{
    private readonly Dictionary<GroupId, Incoming> _incoming = [];
    private readonly Dictionary<(NodeId, GroupId), Outgoing> _outgoing = [];
    private readonly SortedSet<string> _deleteWhenIdle = new(StringComparer.Ordinal);
    private readonly Dictionary<GroupId, BackOff> _backOffs = [];

    // Files that a node was given to their end: who asks for the start of one again could not use it.
    private readonly HashSet<(NodeId To, string Path)> _given = [];
    private readonly Queue<Suspect> _suspects = new();
    private readonly HashSet<string> _damaged = [];

    /// <summary>What another node was last given a piece of.</summary>
    private readonly record struct Outgoing(string Path, long AskedMs);

    /// <summary>Fetches of a group that ended in a file which could not be used, and when the next may begin.</summary>
    private readonly record struct BackOff(int Failures, long UntilMs);

    /// <summary>A file of this node that is being read through.</summary>
    private sealed class Suspect(GroupId group, string path)
    {
        public GroupId Group => group;
        public string Path => path;
        public SnapshotReader? Reader { get; set; }
    }

    private sealed class Incoming(SnapshotFetch fetch)
    {
        public SnapshotFetch Fetch { get; set; } = fetch;
        public ulong Index { get; set; }
        public ulong Term { get; set; }
        public long Offset { get; set; }
        public IFile? File { get; set; }

        /// <summary>A piece came since the replica last reminded us.</summary>
        public bool MovedSinceReminder { get; set; }

        /// <summary>When the fetch began, or the last piece came.</summary>
        public long MovedMs { get; set; }
    }

    public void Serve(SnapshotPull pull, int maxBytes)
    {
        ushort level = replicas.Of(pull.Group)?.RaisedTo ?? FeatureLevel.First;
        if (Math.Max(FeatureLevel.First, node.Peers.LevelOf(pull.From)) < level)
        {
            // It was told of this snapshot by another process than the one that is there now.
            Send(pull.From, SnapshotPayload.Piece(pull.Group, 0, 0, 0, 0, []));
            return;
        }

        string directory = node.Options.SnapshotDirectory(pull.Group);
        (ulong index, ulong term, string? name) = Newest(directory);
        if (pull.Index != 0 && files.Exists($"{directory}/{SnapshotName.Of(pull.Index, pull.Term)}"))
        {
            (index, term, name) = (pull.Index, pull.Term, SnapshotName.Of(pull.Index, pull.Term));
        }

        if (name is null || index < pull.MinIndex || !IsGood(pull, $"{directory}/{name}", isStart: index != pull.Index || term != pull.Term || pull.Offset == 0))
        {
            Send(pull.From, SnapshotPayload.Piece(pull.Group, 0, 0, 0, 0, []));
            return;
        }

        _outgoing[(pull.From, pull.Group)] = new Outgoing($"{directory}/{name}", node.Clock.ElapsedMs());
        LoopFront.Of(loops, pull.Group).Inbox.Post(new SnapshotPulled(pull.Group, pull.From));

        using IFile file = files.Open($"{directory}/{name}");
        long offset = index == pull.Index && term == pull.Term ? Math.Min(pull.Offset, file.Length) : 0;
        byte[] bytes = new byte[Math.Min(maxBytes, file.Length - offset)];
        file.Read(bytes, offset);
        Send(pull.From, SnapshotPayload.Piece(pull.Group, index, term, offset, file.Length, bytes), level);
        if (offset + bytes.Length == file.Length)
        {
            _given.Add((pull.From, $"{directory}/{name}"));
        }
    }

    /// <summary>One step of looking through what somebody could not use. False: there is nothing to look through.</summary>
    public bool CheckStep()
    {
        if (!_suspects.TryPeek(out Suspect? suspect))
        {
            return false;
        }

        try
        {
            suspect.Reader ??= SnapshotReader.Open(files, suspect.Path);
            for (int rows = 0; rows < RowsCheckedAtOnce; rows++)
            {
                if (!suspect.Reader.MoveNext())
                {
                    EndCheck(suspect);
                    break;
                }
            }
        }
        catch (CorruptStorageException damage)
        {
            EndCheck(suspect);
            _damaged.Add(suspect.Path);
            node.Events.Report(new NodeEvent(
                NodeEventKind.SnapshotDamaged, suspect.Group, 0, 0,
                $"the snapshot {suspect.Path} of this node is damaged, and another one is taken: {damage.Message}"));
            LoopFront.Of(loops, suspect.Group).Inbox.Post(new SnapshotDamaged(suspect.Group));
        }

        return true;
    }

    public void Begin(SnapshotFetch fetch)
    {
        if (!_incoming.TryGetValue(fetch.Address.Group, out Incoming? incoming))
        {
            if (_backOffs.TryGetValue(fetch.Address.Group, out BackOff backOff) && node.Clock.ElapsedMs() < backOff.UntilMs)
            {
                return;
            }

            if (_incoming.Count >= MaxFetches && !TryEndStalled())
            {
                return;
            }

            _incoming.Add(fetch.Address.Group, incoming = new Incoming(fetch) { MovedMs = node.Clock.ElapsedMs() });
        }
        else if (incoming.MovedSinceReminder)
        {
            incoming.MovedSinceReminder = false;
            return;
        }

        incoming.Fetch = fetch;
        Pull(incoming);
    }

    /// <summary>
    /// To build a large table takes longer than <see cref="SnapshotPull.IdleLimitMs"/>. A request for what comes after the last byte is answered with
    /// nothing, and tells its source that the file's reader is still there.
    /// </summary>
    public void AskToKeep(SnapshotKept kept)
    {
        (ulong index, ulong term) = (kept.Snapshot.Index, kept.Snapshot.Term);
        Send(kept.Source, SnapshotPayload.Pull(kept.Group, index, index, term, long.MaxValue));
    }

    /// <summary>It was whole when it got its name, and cannot be read any more: this node's disk has damaged it.</summary>
    public void NotBuilt(SnapshotBuild build, CorruptStorageException damage)
    {
        SnapshotMetadata built = build.Header.Metadata;
        BackOffFrom(build.Group, built.Index, built.Term, "the snapshot that was fetched is damaged on this node", damage.Message);
    }

    public void Forget(SnapshotNotWanted end)
    {
        _backOffs.Remove(end.Group);
        End(end.Group);
    }

    /// <summary>Nothing refers to this snapshot file any more: deletes it, or does so later when another node is fetching it.</summary>
    public void Delete(string path)
    {
        if (IsBeingFetched(path))
        {
            _deleteWhenIdle.Add(path);
        }
        else if (files.Exists(path))
        {
            files.Delete(path);
            _given.RemoveWhere(given => given.Path == path);
            _damaged.Remove(path);
        }
    }

    /// <summary>Deletes what was kept for fetches that have ended. At every step of the queue; hardly ever is there anything.</summary>
    public void DeleteIdle()
    {
        if (_deleteWhenIdle.Count == 0)
        {
            return;
        }

        foreach (string path in _deleteWhenIdle.Where(path => !IsBeingFetched(path)).ToArray())
        {
            Needed(path);
            Delete(path);
        }
    }

    /// <summary>A file has come to be under this name, again perhaps: its deletion was meant for the earlier one.</summary>
    public void Needed(string path)
    {
        _deleteWhenIdle.Remove(path);
        _damaged.Remove(path);
    }

    /// <summary>A piece that the disk has no room for ends the fetch; the replica's next reminder begins another.</summary>
    public void OnPieceIfRoom(SnapshotPiece piece)
    {
        try
        {
            OnPiece(piece);
        }
        catch (StorageException failure) when (failure.IsFull)
        {
            End(piece.Group);
        }
    }

    public void OnPiece(SnapshotPiece piece)
    {
        if (!_incoming.TryGetValue(piece.Group, out Incoming? incoming) || piece.TotalBytes == 0 || piece.Index < incoming.Fetch.MinIndex)
        {
            return;
        }

        if (piece.Index != incoming.Index || piece.Term != incoming.Term)
        {
            if (piece.Offset != 0)
            {
                return;
            }

            StartFile(incoming, piece);
        }

        if (piece.Offset != incoming.Offset || piece.Offset + piece.Bytes.Length > piece.TotalBytes)
        {
            return;
        }

        incoming.File!.Write(piece.Bytes, piece.Offset);
        incoming.Offset += piece.Bytes.Length;
        incoming.MovedSinceReminder = true;
        incoming.MovedMs = node.Clock.ElapsedMs();
        if (incoming.Offset < piece.TotalBytes)
        {
            Pull(incoming);
        }
        else
        {
            Finish(incoming);
        }
    }

    public void Dispose()
    {
        foreach (Incoming incoming in _incoming.Values)
        {
            incoming.File?.Dispose();
        }

        foreach (Suspect suspect in _suspects)
        {
            suspect.Reader?.Dispose();
        }
    }

    /// <summary>Not what is damaged, nor what may be: it is looked through first.</summary>
    private bool IsGood(SnapshotPull pull, string path, bool isStart)
    {
        if (_damaged.Contains(path) || _suspects.Any(suspect => suspect.Path == path))
        {
            return false;
        }

        if (!isStart || !_given.Remove((pull.From, path)))
        {
            return true;
        }

        _suspects.Enqueue(new Suspect(pull.Group, path));
        return false;
    }

    private void EndCheck(Suspect suspect)
    {
        suspect.Reader?.Dispose();
        _suspects.Dequeue();
    }

    private void Pull(Incoming incoming) => Send(
        incoming.Fetch.Source,
        SnapshotPayload.Pull(incoming.Fetch.Address.Group, incoming.Fetch.MinIndex, incoming.Index, incoming.Term, incoming.Offset));

    private void StartFile(Incoming incoming, SnapshotPiece piece)
    {
        string path = PartPath(incoming);
        incoming.File?.Dispose();
        if (files.Exists(path))
        {
            files.Delete(path);
        }

        DurableDirectory.Create(files, incoming.Fetch.Directory);
        incoming.File = files.Create(path);
        (incoming.Index, incoming.Term, incoming.Offset) = (piece.Index, piece.Term, 0);
    }

    private void Finish(Incoming incoming)
    {
        SnapshotFetch fetch = incoming.Fetch;
        _incoming.Remove(fetch.Address.Group);
        incoming.File!.Sync();
        incoming.File.Dispose();
        string part = PartPath(incoming);
        if (Checked(part, fetch.Address.Group, incoming, out string? damage) is not { } header)
        {
            files.Delete(part);
            BackOffFrom(
                fetch.Address.Group, incoming.Index, incoming.Term, $"the snapshot that {node.Options.NameOf(fetch.Source)} gave is damaged", damage);
            return;
        }

        _backOffs.Remove(fetch.Address.Group);

        string name = SnapshotName.Of(incoming.Index, incoming.Term);
        Needed($"{fetch.Directory}/{name}");
        files.Rename(part, $"{fetch.Directory}/{name}");
        files.SyncDirectory(fetch.Directory);
        fetch.Loop.Post(new SnapshotWritten(fetch.Address, header, name, fetched: true));
    }

    private bool IsBeingFetched(string path) =>
        _outgoing.Values.Any(fetch => fetch.Path == path && node.Clock.ElapsedMs() - fetch.AskedMs < SnapshotPull.IdleLimitMs);

    /// <summary>
    /// The fetch that has stood still for longest makes room, if it has for too long: its source may be gone, and others wait.
    /// It comes back with its replica's next reminder, behind them.
    /// </summary>
    private bool TryEndStalled()
    {
        (GroupId group, Incoming oldest) = _incoming.OrderBy(i => i.Value.MovedMs).ThenBy(i => i.Key).First();
        if (node.Clock.ElapsedMs() - oldest.MovedMs < StallLimitMs)
        {
            return false;
        }

        End(group);
        return true;
    }

    private void End(GroupId group)
    {
        if (_incoming.Remove(group, out Incoming? incoming) && incoming.File is { } file)
        {
            file.Dispose();
            files.Delete(PartPath(incoming));
        }
    }

    /// <summary>Whatever damaged it, and wherever: the next reminder after the pause starts over.</summary>
    private void BackOffFrom(GroupId group, ulong index, ulong term, string what, string? damage)
    {
        int failures = 1 + _backOffs.GetValueOrDefault(group).Failures;
        long pauseMs = Math.Min(MaxPauseMs, FirstPauseMs << Math.Min(failures - 1, 16));
        _backOffs[group] = new BackOff(failures, node.Clock.ElapsedMs() + pauseMs);
        node.Events.Report(new NodeEvent(
            NodeEventKind.SnapshotDamaged, group, term, index, $"{what} and not used, it is asked for again in {pauseMs} ms: {damage}"));
    }

    private SnapshotHeader? Checked(string path, GroupId group, Incoming incoming, out string? damage)
    {
        damage = null;
        try
        {
            using SnapshotReader reader = SnapshotReader.Open(files, path);
            while (reader.MoveNext())
            {
                // Every block is checked on the way.
            }

            SnapshotHeader header = reader.Header;
            damage = "it is not the one that its name says";
            return header.Group == group.Value && header.Metadata.Index == incoming.Index && header.Metadata.Term == incoming.Term ? header : null;
        }
        catch (CorruptStorageException e)
        {
            damage = e.Message;
            return null;
        }
    }

    private (ulong Index, ulong Term, string? Name) Newest(string directory)
    {
        (ulong Index, ulong Term, string? Name) newest = (0, 0, null);
        foreach (string name in files.ListFiles(directory))
        {
            if (SnapshotName.TryParse(name, out ulong index, out ulong term) && index > newest.Index)
            {
                newest = (index, term, name);
            }
        }

        return newest;
    }

    private static string PartPath(Incoming incoming) => $"{incoming.Fetch.Directory}/{PartName}";

    private void Send(NodeId to, ReadOnlyMemory<byte> payload, ushort level = FeatureLevel.First) =>
        transport.Send(to, Lane.Append, payload, level);

    /// <summary>After a fetch that ended in a damaged file; twice as long after each further one.</summary>
    internal const long FirstPauseMs = 1000;
    internal const long MaxPauseMs = 60_000;

    /// <summary>Rows of a file that are looked through in one step.</summary>
    private const int RowsCheckedAtOnce = 4096;

    /// <summary>A snapshot on its way in; nobody reads it under this name.</summary>
    internal const string PartName = "incoming.part";

    /// <summary>Snapshots fetched at one time; further groups wait for their next reminder.</summary>
    internal const int MaxFetches = 2;

    /// <summary>A fetch without a piece for so long gives its place to one that waits for a place.</summary>
    internal const int StallLimitMs = 10_000;
}
