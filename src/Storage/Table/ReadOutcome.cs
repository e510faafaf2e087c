namespace KvStore.Storage;

public enum ReadOutcome : byte
{
    Found,
    Absent,
}
