using KvStore.Protocol;

namespace KvStore.Client;

/// <summary>A write of one key as it was asked for: made into an operation where the prefix of the key is known.</summary>
/// <param name="Key">Without a prefix.</param>
/// <param name="Options">Null: no condition, and the client's terms.</param>
/// <param name="Make">The operation, of the whole key.</param>
/// <exception cref="ArgumentException">The options have more than one condition.</exception>
internal readonly partial record struct KeyWriteCall(
    KvKey Key, WriteOptions? Options, Func<ReadOnlyMemory<byte>, KvCondition, KeyWrite> Make)
{
    private readonly KvCondition _condition = Options?.Condition ?? KvCondition.None;

    public KeyWrite ToOperation(ReadOnlySpan<byte> prefix) => Make(Key.Under(prefix).Bytes, _condition);
}
