using KvStore.Protocol;
using KvStore.Raft;
using KvStore.Replication;

namespace KvStore.Simulation;

/// <summary>
/// Durable before told: whatever a node has told another one (a vote, an acknowledged append) is on its disk when it comes
/// back, whenever it lost power.
/// </summary>
public sealed class Promises
{
    private readonly Dictionary<(NodeId Node, GroupId Group, ReplicaId Replica), Promise> _promises = [];
    private readonly List<PeerMessage> _messages = [];

    private sealed class Promise
    {
        public ulong VoteTerm;
        public ReplicaId Vote;
        public ulong AppendTerm;
        public ulong AppendIndex;
    }

    public void OnSend(NodeId from, ReadOnlyMemory<byte> payload)
    {
        if (SnapshotPayload.TryRead(from, payload.Span) is not null)
        {
            return;
        }

        _messages.Clear();
        if (!PeerPayload.TryRead(payload.Span, out _, _messages))
        {
            throw new SafetyViolationException("encoding", $"node {from} sent what nobody can read");
        }

        foreach (PeerMessage message in _messages)
        {
            switch (message.Message)
            {
                case VoteGranted vote:
                    OnVote(from, Of(from, message.Group, vote.From), vote);
                    break;

                case AppendAccepted append:
                    Promise promise = Of(from, message.Group, append.From);
                    if (append.Term > promise.AppendTerm)
                    {
                        (promise.AppendTerm, promise.AppendIndex) = (append.Term, append.Index);
                    }
                    else if (append.Term == promise.AppendTerm)
                    {
                        promise.AppendIndex = Math.Max(promise.AppendIndex, append.Index);
                    }

                    break;
            }
        }
    }

    /// <summary>A process has recovered: what it knows must cover what it has told.</summary>
    public void OnRecovered(NodeId node, GroupId group, ReplicaId replica, HardState hardState, ulong lastIndex)
    {
        if (!_promises.TryGetValue((node, group, replica), out Promise? promise))
        {
            return;
        }

        if (hardState.Term < Math.Max(promise.VoteTerm, promise.AppendTerm))
        {
            throw new SafetyViolationException(
                "durable-before-send",
                $"node {node} group {group} spoke in term {Math.Max(promise.VoteTerm, promise.AppendTerm)} and came back in {hardState.Term}");
        }

        if (hardState.Term == promise.VoteTerm && hardState.Vote != promise.Vote)
        {
            throw new SafetyViolationException(
                "durable-before-send", $"node {node} group {group} voted for {promise.Vote} in term {promise.VoteTerm} and has forgotten it");
        }

        if (hardState.Term == promise.AppendTerm && lastIndex < promise.AppendIndex)
        {
            throw new SafetyViolationException(
                "durable-before-send",
                $"node {node} group {group} acknowledged index {promise.AppendIndex} in term {promise.AppendTerm} and came back with {lastIndex}");
        }
    }

    /// <summary>Every replica that has spoken is there, unless it was told to leave.</summary>
    public void OnAllRecovered(NodeId node, Func<GroupId, ReplicaId, bool> isThereOrGone)
    {
        foreach ((NodeId Node, GroupId Group, ReplicaId Replica) key in _promises.Keys)
        {
            if (key.Node == node && !isThereOrGone(key.Group, key.Replica))
            {
                throw new SafetyViolationException("durable-before-send", $"node {node} has forgotten replica {key.Replica} of group {key.Group}");
            }
        }
    }

    private static void OnVote(NodeId from, Promise promise, VoteGranted vote)
    {
        if (vote.Term == promise.VoteTerm && promise.Vote != vote.To)
        {
            throw new SafetyViolationException(
                "one-vote-a-term", $"node {from} voted for replicas {promise.Vote} and {vote.To} in term {vote.Term}");
        }

        if (vote.Term > promise.VoteTerm)
        {
            (promise.VoteTerm, promise.Vote) = (vote.Term, vote.To);
        }
    }

    private Promise Of(NodeId node, GroupId group, ReplicaId replica)
    {
        if (!_promises.TryGetValue((node, group, replica), out Promise? promise))
        {
            _promises.Add((node, group, replica), promise = new Promise());
        }

        return promise;
    }
}
