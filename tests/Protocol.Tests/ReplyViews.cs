namespace KvStore.Protocol.Tests;

/// <summary>What tests ask of a reply without caring which result it has; empty where the result has nothing of the kind.</summary>
internal static class ReplyViews
{
    extension(KvReply reply)
    {
        public long Number => reply.Result is Counted counted ? counted.Number : 0;

        public ReadOnlyMemory<byte> Value => (reply.Result as Found)?.Value ?? default;
    }
}
