namespace KvStore.Protocol;

/// <summary>What a decoder found. Bad input is a value here, never an exception: peers and clients send what they like.</summary>
public enum DecodeResult : byte
{
    Ok = 0,

    /// <summary>Everything so far is a prefix of something valid. At the end of a complete frame this means malformed as well.</summary>
    NeedMoreData = 1,

    /// <summary>No continuation can make this valid.</summary>
    Malformed = 2,
}
