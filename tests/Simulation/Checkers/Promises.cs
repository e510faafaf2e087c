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
    private readonly Dictionary<(NodeId Node, GroupId Group), Promise> _promises = [];
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
                case VoteResponse { Granted: true, PreVote: false } vote:
                    OnVote(from, Of(from, message.Group), vote);
                    break;

                case AppendResponse { Rejected: false } append:
                    Promise promise = Of(from, message.Group);
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
    public void OnRecovered(NodeId node, GroupId group, HardState hardState, ulong lastIndex)
    {
        if (!_promises.TryGetValue((node, group), out Promise? promise))
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

    private static void OnVote(NodeId from, Promise promise, VoteResponse vote)
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

    private Promise Of(NodeId node, GroupId group)
    {
        if (!_promises.TryGetValue((node, group), out Promise? promise))
        {
            _promises.Add((node, group), promise = new Promise());
        }

        return promise;
    }
}
