"""FacePoseNet (Chang et al., ICCVW 2017)."""
