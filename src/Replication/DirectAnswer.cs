using KvStore.Protocol;

namespace KvStore.Replication;

/// <summary>The answer of one node that was asked and nobody else.</summary>
internal sealed class DirectAnswer(string node, IReplySink sink) : IForwardCompletion
{
    public void Replied(KvReply reply) => sink.Complete(reply);

    public void Lost(bool notSent) => sink.Complete(new KvReply
    {
        Code = ErrorCode.Timeout,
        Detail = notSent ? $"{node} cannot be reached" : $"{node} did not answer",
    });
}
