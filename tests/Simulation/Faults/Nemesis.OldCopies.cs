using KvStore.Protocol;
using KvStore.Replication;
using KvStore.Storage;

namespace KvStore.Simulation;

/// <summary>
/// A disk that is put back as it was, one of the cluster at a time: copied while its node is down, put back once every other node has met a later start
/// of it, started again and again, and some time later replaced by what it was put in the place of. None of its starts may be let in. Copies of
/// which nobody has met a later start cannot be told from the folder itself, and are not made (docs/testing.md says what stays open).
/// </summary>
public sealed partial class Nemesis
{
    private readonly SimulatedRandom _old;
    private readonly HashSet<NodeId> _metSinceCopy = [];
    private SimulatedNode? _copied;
    private IReadOnlyDictionary<string, byte[]> _copy = new Dictionary<string, byte[]>();
    private IReadOnlyDictionary<string, byte[]> _newest = new Dictionary<string, byte[]>();

    private void StartOldCopies()
    {
        if (_plan.OldCopies > 0)
        {
            _cluster.Network.HelloEnded = OnHelloEnded;
            Every(_old, _plan.OldCopies, "old-copy", CopyDisk);
        }
    }

    private void CopyDisk(SimulatedNode node)
    {
        if (_copied is not null)
        {
            return;
        }

        _cluster.Kill(node);
        node.Disk.WriteBack();
        (_copied, _copy) = (node, node.Disk.Copy());
        _metSinceCopy.Clear();
        RestartLater(node);
        PutBackLater();
    }

    private void OnHelloEnded(NodeId from, NodeId to, HelloRefused? refused)
    {
        if (_copied is not { } copied || refused is not null || (from != copied.Id && to != copied.Id))
        {
            return;
        }

        NodeId other = from == copied.Id ? to : from;
        if (copied.IsOldCopy)
        {
            throw new SafetyViolationException("old-copy-admitted", $"n{copied.Id} runs on an old copy of its disk, and n{other} let it in");
        }

        _metSinceCopy.Add(other);
    }

    private void PutBackLater() => _cluster.Scheduler.After(_old.Between(500_000, 5_000_000), "old-copy-back", 0, () => UnlessStopped(() =>
    {
        if (_copied!.Store is null || _metSinceCopy.Count < _cluster.Nodes.Count - 1)
        {
            PutBackLater();
            return;
        }

        _cluster.Tell($"fault: n{_copied.Id} goes on with an old copy of its disk");
        _cluster.Kill(_copied);
        _copied.Disk.WriteBack();
        _newest = _copied.Disk.Copy();
        _copied.Disk.PutBack(_copy);
        _copied.IsOldCopy = true;
        _copied.OnRefused = (node, _) =>
        {
            _cluster.Marks.Hit(CoverageMarks.OldCopyRefused);
            RestartLater(node);
        };
        RestartLater(_copied);
        _cluster.Scheduler.After(_old.Between(2_000_000, 15_000_000), "newest-disk-back", 0, () => UnlessStopped(() => RestartLater(EndOldCopy())));
    }));

    /// <summary>As a supervisor does it, who does not read why the last process ended; and as somebody does it who knows better.</summary>
    private void StartOldCopy(SimulatedNode node)
    {
        try
        {
            node.Start();
        }
        catch (IdentityException refused)
        {
            // Whether it is the folder of before once more, or goes on counting without the mark.
            _cluster.Tell($"n{node.Id} does not start: {refused.Message}");
            if (_old.Chance(0.5))
            {
                node.Disk.PutBack(_copy);
            }
            else
            {
                node.Disk.Take($"/data/n{node.Id}/{NodeIdentity.RefusedFileName}");
            }

            RestartLater(node);
        }
        catch (StorageException failure)
        {
            OnDiskFailure(node, failure);
        }
    }

    private SimulatedNode EndOldCopy()
    {
        SimulatedNode node = _copied!;
        if (node.Store is not null)
        {
            _cluster.Kill(node);
        }

        node.Disk.PutBack(_newest);
        node.IsOldCopy = false;
        node.OnRefused = null;
        _copied = null;
        return node;
    }
}
