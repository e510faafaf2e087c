using KvStore.Protocol;

namespace KvStore.Replication;

/// <summary>
/// Who should lead. A node whose disk stands still answers nobody, and one whose wall clock is far off the others' stamps what it must not:
/// both keep their votes and their place, and lead only while nobody else can. One that stops hands over what it leads, and wants no more.
/// Written by every loop once a tick, and by whoever hears a peer; any thread asks.
/// </summary>
internal sealed class Fitness
{
    private readonly NodeClock _clock;
    private readonly PeerLevels _peers;
    private readonly NodeEvents _events;
    private readonly PeerDisks _peerDisks;
    private readonly SpokenState _clockOff = new();
    private int _isClockOff;
    private bool _draining;
    private int _loopsToHandOver;

    public Fitness(StoreNodeOptions options, NodeClock clock, PeerLevels peers, NodeEvents events)
    {
        (_clock, _peers, _events) = (clock, peers, events);
        Walls = new WallClocks(options.NodeNames.Count, options.Self.Value);
        Disk = new DiskWatch(options.Workers, OnDiskChanged);
        _peerDisks = new PeerDisks(options.NodeNames.Count, validMs: 2 * options.ElectionTimeoutMs);
    }

    public WallClocks Walls { get; }

    public DiskWatch Disk { get; }

    /// <summary>This node's wall clock is further off the others' median than <see cref="WallClocks.MaxOffsetMs"/>.</summary>
    public bool ClockIsOff => Volatile.Read(ref _isClockOff) != 0;

    /// <summary>This node gives leadership away, and does not ask for it before the others have had their chance.</summary>
    public bool LeadsOnlyWhenNobodyElseCan => ClockIsOff || Disk.IsSick;

    /// <summary>The node is about to stop.</summary>
    public bool IsDraining => Volatile.Read(ref _draining);

    /// <summary>Some loop has not handed its groups over yet.</summary>
    public bool IsHandingOver => Volatile.Read(ref _loopsToHandOver) != 0;

    /// <summary>
    /// What this node has been told of another one speaks against nothing. A build that cannot say how its disk is gets the benefit of the
    /// doubt: else no leadership would move in a cluster that is being upgraded, not even away from a node that stops. So does every node with one that
    /// is held at such a level itself, and is not told.
    /// </summary>
    public bool IsFitToLead(NodeId peer) =>
        !Walls.IsOff(peer.Value, (long)_clock.WallMs(), _clock.ElapsedMs()) && HasWellDisk(peer);

    public bool HasWellDisk(NodeId peer) =>
        _peers.Speaks(peer, DiskReport.Since) ? _peerDisks.IsWell(peer, _clock.ElapsedMs()) : !peer.IsNone;

    /// <summary>A peer has said how its disk is.</summary>
    public void Hear(NodeId peer, DiskReport disk) => _peerDisks.Hear(peer, disk, _clock.ElapsedMs());

    public void BeginDrain(int loopsToHandOver)
    {
        Volatile.Write(ref _loopsToHandOver, loopsToHandOver);
        Volatile.Write(ref _draining, true);
    }

    public void HandedOver() => Interlocked.Decrement(ref _loopsToHandOver);

    /// <summary>Once a tick: compares this node's wall clock with the others'.</summary>
    public void CheckClock()
    {
        long own = (long)_clock.WallMs();
        long offset = Walls.MedianOfAllMs(own, _clock.ElapsedMs()) - own;

        // Half of it to be right again: a clock at the limit would otherwise have its groups go to and fro.
        bool off = Math.Abs(offset) > (ClockIsOff ? WallClocks.MaxOffsetMs / 2 : WallClocks.MaxOffsetMs);
        if (_clockOff.IsToBeSaid(off, _clock.ElapsedMs()))
        {
            _events.Report(new NodeEvent(NodeEventKind.ClockOff, default, 0, 0, $"this node's clock is {-offset} ms off the others' median; set it"));
        }

        Volatile.Write(ref _isClockOff, off ? 1 : 0);
    }

    private void OnDiskChanged(bool isSick, long ageMs) => _events.Report(isSick
        ? new NodeEvent(
            NodeEventKind.DiskSick, default, 0, 0,
            $"the disk has not finished a write for {ageMs} ms: this node gives its groups away and is not ready until no write takes "
            + $"{DiskWatch.WellAgeMs} ms for {DiskWatch.WellAfterMs / 1000} s")
        : new NodeEvent(NodeEventKind.DiskWell, default, 0, 0, "the disk finishes its writes in time again: this node may lead"));
}

/// <summary>How a node's disk is.</summary>
/// <param name="AgeMs">Of the oldest write that is not durable; 0 when there is none.</param>
/// <param name="IsSick">See <see cref="DiskWatch"/>.</param>
public readonly record struct DiskStatus(long AgeMs, bool IsSick);
