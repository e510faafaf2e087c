using KvStore.Protocol;

namespace KvStore.Client;

/// <summary>Writes of one key as they are sent, alone or as part of a transaction.</summary>
internal static class KeyWrites
{
    public static KeyWrite Put(KvKey key, KvValue value, KvCondition condition) =>
        new Put(key.Bytes.Span, value.Bytes.Span, value.ContentType, condition);

    public static KeyWrite Delete(KvKey key, KvCondition condition) => new Delete(key.Bytes.Span, condition);

    public static KeyWrite Increment(KvKey key, long delta, long initial, KvCondition condition) =>
        new Increment(key.Bytes.Span, delta, initial, condition);

    public static KeyWrite Append(KvKey key, KvValue value, KvCondition condition) =>
        new Append(key.Bytes.Span, value.Bytes.Span, value.ContentType, condition);
}
